# frozen_string_literal: true

# Certificates and time.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000220' do
  title 'There must be a bundle of trusted certificates that can be read.'
  desc <<~TEXT
    Without it an application can't check whom it talks to, and is then too often told not to check at all.
  TEXT
  desc 'check', <<~TEXT
    Read the file in the input certificate_bundle. If it does not exist, holds no certificate, or a block in it
    is no X.509 certificate, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Take the base image that has certificates (distroless static has), or copy a bundle from a build stage.
  TEXT
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000219-CTR-000550'
  tag stig_id: 'BARE-DL-000220'
  tag cci: ['CCI-001184']
  tag nist: ['SC-23']

  describe questions.certificate_bundle(input('certificate_bundle')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000230' do
  title 'No trusted certificate may have expired.'
  desc 'An expired root proves nothing any more, and shows that the bundle, or its source, is not looked after.'
  desc 'check', <<~TEXT
    Compare the end of validity of each trusted certificate with the present time. If one has passed and its
    name is not in the input allowed_expired_certificates, this is a finding.
  TEXT
  desc 'fix', <<~TEXT
    Rebuild the image with a current ca-certificates. Debian keeps some expired roots; name those that you
    accept.
  TEXT
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000219-CTR-000550'
  tag stig_id: 'BARE-DL-000230'
  tag cci: ['CCI-001184']
  tag nist: ['SC-23']

  describe questions.expired_certificates(input('certificate_bundle'), input('allowed_expired_certificates')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000240' do
  title 'Time zone data must be there.'
  desc <<~TEXT
    Programs that find no data for a zone silently use UTC, and their records can no longer be matched with
    others.
  TEXT
  desc 'check', <<~TEXT
    Look for the zones in the input time_zones in /usr/share/zoneinfo. If one is missing or is no tzfile(5),
    this is a finding.
  TEXT
  desc 'fix', 'Install tzdata, or set the input time_zones to an empty list for a program that brings its own.'
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000374-CTR-000865'
  tag stig_id: 'BARE-DL-000240'
  tag cci: ['CCI-001890']
  tag nist: ['AU-8 b']

  describe questions.timezone_data(input('time_zones')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000250' do
  title 'Local time must be UTC.'
  desc 'Records of different places can be put in one order only when all tell their time against UTC.'
  desc 'check', <<~TEXT
    Compare /etc/localtime with the zone in the input local_time; without that file local time is UTC. If it
    differs, this is a finding.
  TEXT
  desc 'fix', 'Remove /etc/localtime from the image.'
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000374-CTR-000865'
  tag stig_id: 'BARE-DL-000250'
  tag cci: ['CCI-001890']
  tag nist: ['AU-8 b']

  describe questions.local_time(input('local_time')) do
    its('findings') { should be_empty }
  end
end
