# frozen_string_literal: true

# Who may change what is in the image.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000100' do
  title 'Files of accounts and private keys must be protected.'
  desc <<~TEXT
    Who may write them can become any user; who may read shadow files and keys can attack the secrets in them.
  TEXT
  desc 'check', <<~TEXT
    Compare owner, group and mode of the files in the input account_files with what it allows. If a file grants
    more, this is a finding.
  TEXT
  desc 'fix', 'Set owner, group and mode in the build, for example COPY --chown=0:0 --chmod=0644.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000133-CTR-000310'
  tag stig_id: 'BARE-DL-000100'
  tag cci: ['CCI-001499']
  tag nist: ['CM-5 (6)']

  describe questions.account_files(input('account_files')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000110' do
  title 'Programs and libraries must be changeable by root only.'
  desc 'Whoever may change a program or a library has everybody who runs it do something else.'
  desc 'check', <<~TEXT
    Look in /, /bin, /sbin, /lib*, /usr and /boot for files and directories that do not belong to root or that
    group or others may write. If any is listed in the findings and is not documented as needed, this is a
    finding.
  TEXT
  desc 'fix', 'Set owner root and remove write permission of group and others in the build.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000133-CTR-000295'
  tag stig_id: 'BARE-DL-000110'
  tag cci: ['CCI-001499']
  tag nist: ['CM-5 (6)']

  describe questions.loose_programs(input('allowed_loose_programs')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000120' do
  title 'Configuration must be changeable by root only.'
  desc 'Configuration decides how programs behave; who may change it can switch protections off.'
  desc 'check', <<~TEXT
    Look in /etc for files and directories that do not belong to root or that group or others may write. If any
    is listed in the findings and is not documented as needed, this is a finding.
  TEXT
  desc 'fix', 'Set owner root and remove write permission of group and others in the build.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000133-CTR-000305'
  tag stig_id: 'BARE-DL-000120'
  tag cci: ['CCI-001499']
  tag nist: ['CM-5 (6)']

  describe questions.loose_configuration(input('allowed_loose_configuration')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000130' do
  title 'Nobody but its owner may change a file, and directories for everybody must be sticky.'
  desc <<~TEXT
    In a directory that everybody may write and that is not sticky, anybody can remove and replace the files of
    others.
  TEXT
  desc 'check', <<~TEXT
    Look for files that others may write, and for directories that others may write and that have no sticky bit.
    If any is listed in the findings and is not documented as needed, this is a finding.
  TEXT
  desc 'fix', 'chmod o-w FILE; chmod +t DIRECTORY. Use a volume for data that several users share.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000243-CTR-000600'
  tag stig_id: 'BARE-DL-000130'
  tag cci: ['CCI-001090']
  tag nist: ['SC-4']

  describe questions.world_writable(input('allowed_world_writable')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000140' do
  title 'The application must not be able to change programs.'
  desc <<~TEXT
    A service that can rewrite its own program, or one that it runs, makes an intrusion last beyond a restart.
  TEXT
  desc 'check', <<~TEXT
    Look for executable files and libraries that belong to a user id of the main process, or that its user or
    groups may write. If there is one, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Leave programs with root as their owner (COPY without --chown), mode 0755; run the container with a read-
    only root file system.
  TEXT
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000133-CTR-000295'
  tag stig_id: 'BARE-DL-000140'
  tag cci: ['CCI-001499']
  tag nist: ['CM-5 (6)']

  describe questions.own_programs do
    its('findings') { should be_empty }
  end
end
