# frozen_string_literal: true

# Accounts, read from their files and not through NSS.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000260' do
  title 'The files of accounts must not contradict each other.'
  desc 'Two names with one id, or a group that does not exist, make it impossible to say who did something.'
  desc 'check', <<~TEXT
    Compare /etc/passwd, /etc/group and, where it exists, /etc/shadow. If names or ids are there twice, ids are
    not numbers, a group or user is missing, or a line has not its fields, this is a finding.
  TEXT
  desc 'fix', 'Write the files in the build, with each name and id once.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000148-CTR-000335'
  tag stig_id: 'BARE-DL-000260'
  tag cci: ['CCI-000764']
  tag nist: ['IA-2']

  describe questions.account_faults do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000270' do
  title 'Only root may have the user id 0.'
  desc 'Another name with the id 0 is a second, less visible root.'
  desc 'check', <<~TEXT
    Look in /etc/passwd for accounts with the id 0 other than root. If there is one, this is a finding.
  TEXT
  desc 'fix', 'Give the account an id of its own, or remove it.'
  impact 0.7
  tag severity: 'high'
  tag gtitle: 'SRG-APP-000148-CTR-000335'
  tag stig_id: 'BARE-DL-000270'
  tag cci: ['CCI-000764']
  tag nist: ['IA-2']

  describe questions.superusers do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000280' do
  title 'No account may have a password.'
  desc <<~TEXT
    Nobody logs in to a container. A password in an image is known to all who can read the image, and an empty
    one to everybody.
  TEXT
  desc 'check', <<~TEXT
    Look at the password fields of /etc/passwd (x, or beginning with ! or *) and /etc/shadow (beginning with !
    or *). Anything else is a finding.
  TEXT
  desc 'fix', 'Lock the accounts: x in /etc/passwd, ! or * in /etc/shadow.'
  impact 0.7
  tag severity: 'high'
  tag gtitle: 'SRG-APP-000171-CTR-000435'
  tag stig_id: 'BARE-DL-000280'
  tag cci: ['CCI-000196']
  tag nist: ['IA-5 (1) (c)']

  describe questions.passwords do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000290' do
  title 'No account may have a login shell.'
  desc 'An account that can be logged in to is one that nobody needs in a container without logins.'
  desc 'check', <<~TEXT
    Look at the shells in /etc/passwd (/bin/sh where the field is empty). If one exists as an executable file
    and is not nologin or false, this is a finding.
  TEXT
  desc 'fix', 'Set the shell of every account to /sbin/nologin.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000141-CTR-000315'
  tag stig_id: 'BARE-DL-000290'
  tag cci: ['CCI-000381']
  tag nist: ['CM-7 a']

  describe questions.login_shells do
    its('findings') { should be_empty }
  end
end
