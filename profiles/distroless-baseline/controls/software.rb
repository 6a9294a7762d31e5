# frozen_string_literal: true

# What is in the image that nobody needs there.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000010' do
  title 'The container must not hold a shell.'
  desc <<~TEXT
    Whoever finds a way to run a program in a container with a shell can run anything: a shell turns one flaw
    into full use of the container. A distroless image owes most of its worth to its absence.
  TEXT
  desc 'check', <<~TEXT
    Look for executable files with the name of a shell (input shell_names) anywhere in the tree, for executable
    files that are a shell by their content whatever their name (BusyBox, Toybox, POSIX shells), and for files
    that /etc/shells names. If any is listed in the findings and is not documented as needed, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Build the image from a base without a shell (not its debug variant), or remove the shell in the last build
    stage.
  TEXT
  impact 0.7
  tag severity: 'high'
  tag gtitle: 'SRG-APP-000141-CTR-000315'
  tag stig_id: 'BARE-DL-000010'
  tag cci: ['CCI-000381']
  tag nist: ['CM-7 a']

  describe questions.shells(input('shell_names')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000020' do
  title 'The container must not hold a package manager.'
  desc <<~TEXT
    A package manager lets software be installed into a running container, past every check that the image went
    through.
  TEXT
  desc 'check', <<~TEXT
    Look for executable files with the name of a package manager (input package_manager_names). If any is listed
    in the findings and is not documented as needed, this is a finding.
  TEXT
  desc 'fix', 'Install what the application needs in a build stage and copy only the results into the image.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000378-CTR-000880'
  tag stig_id: 'BARE-DL-000020'
  tag cci: ['CCI-001812']
  tag nist: ['CM-11 (2)']

  describe questions.package_managers(input('package_manager_names')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000030' do
  title 'Programs in system directories must come from packages.'
  desc <<~TEXT
    A program or library in a system directory that no package record explains was put there by hand: nobody
    will update it, and no scanner will name its flaws.
  TEXT
  desc 'check', <<~TEXT
    Compare the ELF files in /bin, /sbin, /lib*, /usr/bin, /usr/sbin, /usr/lib* and /usr/libexec with the lists
    of files of all packages. If any is listed in the findings and is not documented as needed, this is a
    finding.
  TEXT
  desc 'fix', 'Put programs of your own outside of the system directories, or into a package.'
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000384-CTR-000915'
  tag stig_id: 'BARE-DL-000030'
  tag cci: ['CCI-001764']
  tag nist: ['CM-7 (2)']

  describe questions.strangers(input('allowed_unpackaged')) do
    its('findings') { should be_empty }
  end
end
