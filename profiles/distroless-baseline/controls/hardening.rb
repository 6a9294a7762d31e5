# frozen_string_literal: true

# How the programs of the image were built.
questions = distroless(root: input('root'), max_entries: input('max_entries'),
                       max_seconds: input('max_seconds'), main_pid: input('main_pid')).ask

control 'BARE-DL-000180' do
  title 'Programs must be position independent.'
  desc 'Address space layout randomization can\'t move a program that was linked to fixed addresses.'
  desc 'check', <<~TEXT
    Read the headers of all ELF programs and libraries. If one is of type ET_EXEC, this is a finding.
  TEXT
  desc 'fix', 'Compile and link with -fPIE -pie (static: -static-pie; Go: -buildmode=pie).'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000450-CTR-001105'
  tag stig_id: 'BARE-DL-000180'
  tag cci: ['CCI-002824']
  tag nist: ['SI-16']

  describe questions.fixed_addresses(input('allowed_fixed_addresses')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000190' do
  title 'Relocations must be read-only after start.'
  desc <<~TEXT
    The tables by which a program finds its libraries are a favourite thing to overwrite; with RELRO they can't
    be written once they are filled in.
  TEXT
  desc 'check', <<~TEXT
    Look for a PT_GNU_RELRO segment in every dynamically linked or static-PIE ELF file, and for immediate
    binding too when the input require_full_relro is true. If it is missing, this is a finding.
  TEXT
  desc 'fix', 'Link with -Wl,-z,relro and -Wl,-z,now.'
  impact 0.3
  tag severity: 'low'
  tag gtitle: 'SRG-APP-000450-CTR-001105'
  tag stig_id: 'BARE-DL-000190'
  tag cci: ['CCI-002824']
  tag nist: ['SI-16']

  describe questions.writable_relocations(input('allowed_without_relro'), full: input('require_full_relro')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000200' do
  title 'No memory of a program may be both writable and executable.'
  desc 'What can be written and run lets data become code.'
  desc 'check', <<~TEXT
    Read the segments of all ELF files: PT_GNU_STACK must be there and not executable, no PT_LOAD may be
    writable and executable, and there must be no text relocations. Otherwise, this is a finding.
  TEXT
  desc 'fix', 'Mark assembly with .note.GNU-stack, link with -Wl,-z,noexecstack, compile libraries with -fPIC.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000450-CTR-001105'
  tag stig_id: 'BARE-DL-000200'
  tag cci: ['CCI-002824']
  tag nist: ['SI-16']

  describe questions.writable_code(input('allowed_writable_code')) do
    its('findings') { should be_empty }
  end
end

control 'BARE-DL-000210' do
  title 'Programs must not load libraries from places that others may fill.'
  desc <<~TEXT
    RPATH and RUNPATH are searched before the system directories. A relative place, or one that a user may
    write, lets that user put code into the program.
  TEXT
  desc 'check', <<~TEXT
    Read RPATH and RUNPATH of all ELF files. If an entry is empty or relative, or names a directory (or, where
    it does not exist, one above it) that does not belong to root or that group or others may write, this is a
    finding.
  TEXT
  desc 'fix', 'Link without -rpath, or with a place below $ORIGIN that only root may write.'
  impact 0.5
  tag severity: 'medium'
  tag gtitle: 'SRG-APP-000133-CTR-000295'
  tag stig_id: 'BARE-DL-000210'
  tag cci: ['CCI-001499']
  tag nist: ['CM-5 (6)']

  describe questions.search_paths(input('allowed_search_paths')) do
    its('findings') { should be_empty }
  end
end
