# frozen_string_literal: true

# What the container may do, and how it might come to do more.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000040' do
  title 'The container must not run as root.'
  desc <<~TEXT
    Root in a container is root to the kernel unless a user namespace stands between them: what it breaks out
    of, it owns.
  TEXT
  desc 'check', <<~TEXT
    Read the user ids (real, effective, saved, file system) of the main process from /proc. If one of them is 0,
    this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Set USER to a number other than 0 in the image (distroless: 65532), and runAsNonRoot: true in the pod.
  TEXT
  impact 0.7
  tag severity: 'high'
  tag gtitle: 'SRG-APP-000342-CTR-000775'
  tag stig_id: 'BARE-DL-000040'
  tag cci: ['CCI-002233']
  tag nist: ['AC-6 (8)']

  describe questions.superuser_process do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000050' do
  title 'The main process must hold no capability.'
  desc 'Each capability is a part of what root may do. An ordinary service needs none.'
  desc 'check', <<~TEXT
    Read the inheritable, permitted, effective and ambient capability sets of the main process from /proc. If
    one is not empty and that is not documented as needed, this is a finding.
  TEXT
  desc 'fix', 'Drop all capabilities (--cap-drop ALL; capabilities.drop: [ALL] in the pod).'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000342-CTR-000775'
  tag stig_id: 'BARE-DL-000050'
  tag cci: ['CCI-002233']
  tag nist: ['AC-6 (8)']

  describe questions.process_capabilities do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000060' do
  title 'The main process must not be able to gain privileges.'
  desc <<~TEXT
    With no_new_privs set, neither setuid bits nor file capabilities have an effect on the process and all its
    children.
  TEXT
  desc 'check', 'Read NoNewPrivs of the main process from /proc. If it is not 1, this is a finding.'
  desc 'fix', <<~TEXT
    Start the container with --security-opt no-new-privileges, or allowPrivilegeEscalation: false in the pod.
  TEXT
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000340-CTR-000770'
  tag stig_id: 'BARE-DL-000060'
  tag cci: ['CCI-002235']
  tag nist: ['AC-6 (10)']

  describe questions.new_privileges do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000070' do
  title 'No file may have the setuid or setgid bit.'
  desc <<~TEXT
    Such a program runs with the rights of its owner or group, whoever starts it, and so is a way to more
    privileges. (Directories with the setgid bit only hand down their group.)
  TEXT
  desc 'check', <<~TEXT
    Look for regular files with the setuid or setgid bit. If any is listed in the findings and is not documented
    as needed, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Remove the bits in the build: chmod a-s FILE. Name files that need them in the input allowed_setid.
  TEXT
  impact 0.7
  tag severity: 'high'
  tag gtitle: 'SRG-APP-000340-CTR-000770'
  tag stig_id: 'BARE-DL-000070'
  tag cci: ['CCI-002235']
  tag nist: ['AC-6 (10)']

  describe questions.setid_files(input('allowed_setid')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000080' do
  title 'No file may grant capabilities.'
  desc <<~TEXT
    A capability in the attributes of a file is given to whoever runs it: a part of the setuid bit under another
    name.
  TEXT
  desc 'check', <<~TEXT
    Look for executable files with the attribute security.capability. If any is listed in the findings and is
    not documented as needed, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Remove the attribute in the build: setcap -r FILE. Name files that need it in the input
    allowed_capability_files.
  TEXT
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000340-CTR-000770'
  tag stig_id: 'BARE-DL-000080'
  tag cci: ['CCI-002235']
  tag nist: ['AC-6 (10)']

  describe questions.file_capabilities(input('allowed_capability_files')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000090' do
  title 'There must be no device files outside of /dev.'
  desc <<~TEXT
    The runtime makes the few devices that a container needs. A device file elsewhere came with the image, or
    was made by an attacker, to reach the host.
  TEXT
  desc 'check', 'Look for character and block devices outside of /dev. If there is one, this is a finding.'
  desc 'fix', 'Remove the device file from the image; hand devices in through the runtime where one is needed.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000243-CTR-000595'
  tag stig_id: 'BARE-DL-000090'
  tag cci: ['CCI-001090']
  tag nist: ['SC-4']

  describe questions.devices do
    its('findings') { should be_empty }
  end
end
