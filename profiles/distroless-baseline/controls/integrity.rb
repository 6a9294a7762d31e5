# frozen_string_literal: true

# Whether the image still is what its packages were, and whether anybody still maintains them.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000150' do
  title 'Files of packages must be unchanged.'
  desc <<~TEXT
    A file that differs from its package is no longer the one that was reviewed and signed. (MD5, the sum that
    Debian packages carry, shows a change; it can't withstand somebody who forges the record as well.)
  TEXT
  desc 'check', <<~TEXT
    Compare every file named in /var/lib/dpkg/status.d/*.md5sums or /var/lib/dpkg/info/*.md5sums with its sum.
    If one differs or can't be read and is not in the input allowed_changed_files, this is a finding. Without
    such records the control is not reviewed.
  TEXT
  desc 'fix', 'Rebuild the image from packages; change configuration, not files of packages.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000131-CTR-000280'
  tag stig_id: 'BARE-DL-000150'
  tag cci: ['CCI-001749', 'CCI-002704']
  tag nist: ['CM-5 (3)', 'SI-7 a']

  describe questions.changed_files(input('allowed_changed_files')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000160' do
  title 'Packages must be whole.'
  desc <<~TEXT
    A record of a package whose files are gone misleads scanners of vulnerabilities; a library that is gone is a
    fault of its own.
  TEXT
  desc 'check', <<~TEXT
    Look for files named in the records of packages that do not exist. If one is absent, its package is not in
    the input partial_packages and it is not in allowed_absent_files, this is a finding.
  TEXT
  desc 'fix', 'Install packages whole, or remove their record together with their files.'
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000131-CTR-000280'
  tag stig_id: 'BARE-DL-000160'
  tag cci: ['CCI-001749']
  tag nist: ['CM-5 (3)']

  describe questions.absent_files(input('partial_packages'), input('allowed_absent_files')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000170' do
  title 'The release must be named and supported.'
  desc <<~TEXT
    Nobody can tell which flaws concern an image that does not say what it is; nobody repairs those of a release
    that is no longer supported.
  TEXT
  desc 'check', <<~TEXT
    Read ID and VERSION_ID from os-release and compare them with the input supported_releases. If there is no
    os-release, or the release is not listed for its ID, this is a finding. An unknown ID is not reviewed.
  TEXT
  desc 'fix', 'Rebuild the image on a supported release; keep the input supported_releases up to date.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000456-CTR-001130'
  tag stig_id: 'BARE-DL-000170'
  tag cci: ['CCI-002605']
  tag nist: ['SI-2 c']

  describe questions.release(input('supported_releases')) do
    its('findings') { should be_empty }
  end
end
