# frozen_string_literal: true

require 'baseline_accounts'
require 'baseline_capabilities'
require 'baseline_certificates'
require 'baseline_elf'
require 'baseline_findings'
require 'baseline_packages'
require 'baseline_process'
require 'baseline_root'
require 'baseline_shells'
require 'baseline_walk'

module Baseline
  # The questions that the controls ask. Each gives Findings; allowed paths are shell patterns, `**` included.
  class Target
    ZONE_LIMIT = 1024 * 1024
    GLOB = ::File::FNM_PATHNAME | ::File::FNM_DOTMATCH | ::File::FNM_EXTGLOB
    PROGRAM_DIRECTORIES = %w[/bin /sbin /lib /lib32 /lib64 /libx32 /usr/bin /usr/sbin /usr/lib /usr/lib32
                             /usr/lib64 /usr/libexec].freeze

    def initialize(root: '/', max_entries: 500_000, max_seconds: 60, main_pid: 0)
      @root = Root.new(root)
      @limits = { max_entries: max_entries, max_seconds: max_seconds }
      @main = MainProcess.new(@root, main_pid.to_i.zero? ? ENV.fetch('BARESCAN_TARGET_PID', '1').to_i : main_pid)
      @accounts = Accounts.new(@root)
      @packages = Packages.new(@root)
    end

    def shells(names)
      tell('Shells') do |doubts|
        known = Shells.new(@root, names)
        found = walked(doubts).programs.filter_map do |entry|
          reason = known.reason(entry) if entry.mode.anybits?(0o111)
          "#{entry.path} (#{reason})" if reason
        rescue Unanswered => e
          doubts << e.message
          nil
        end
        found + listed_shells
      end
    end

    def package_managers(names)
      tell('Package managers') do |doubts|
        walked(doubts).programs.select { |entry| entry.mode.anybits?(0o111) && names.include?(base(entry)) }
                      .map(&:path).reject { |path| path.start_with?('/etc/') }
      end
    end

    def setid_files(allowed)
      tell('Files that run as another user or group') do |doubts|
        unless_allowed(walked(doubts).setid, allowed).map(&:shown)
      end
    end

    def file_capabilities(allowed)
      tell('Files that grant capabilities') do |doubts|
        found = FileCapabilities.new(@root)
        unless_allowed(walked(doubts).programs, allowed).select { |entry| found.any?(entry.path) }.map(&:path)
      end
    end

    def devices
      tell('Device files outside of /dev') { |doubts| walked(doubts).devices.map(&:shown) }
    end

    def world_writable(allowed)
      tell('Files and directories that everybody may change') do |doubts|
        unless_allowed(walked(doubts).world_writable, allowed).map(&:shown)
      end
    end

    def loose_programs(allowed)
      tell('Programs and libraries that others than root may change') do |doubts|
        unless_allowed(walked(doubts).loose_system, allowed).map(&:shown)
      end
    end

    def loose_configuration(allowed)
      tell('Configuration that others than root may change') do |doubts|
        unless_allowed(walked(doubts).loose_config, allowed).map(&:shown)
      end
    end

    # `expected`: path => { 'mode' => most that is allowed, as octal text, 'groups' => ids, or '*' for any }
    def account_files(expected)
      tell('Files of accounts and keys') do
        plain(expected).filter_map { |path, rule| account_file(path, rule) }
      end
    end

    def own_programs
      tell('Programs that the main process may change') do |doubts|
        uids = @main.uids
        gids = @main.gids
        raise Unanswered, 'the main process is root, which may change everything' if uids.include?(0)

        walked(doubts).programs.select { |entry| writable_by?(entry, uids, gids) }.map(&:shown)
      end
    end

    def superuser_process
      tell('Identity of the main process') do
        roots = @main.uids.select(&:zero?)
        roots.empty? ? [] : ["the main process runs as user ids #{@main.uids.join(' ')}"]
      end
    end

    def process_capabilities
      tell('Capabilities of the main process') do
        @main.capabilities.map { |set, mask| "#{set} is #{format('%016x', mask)}" }
      end
    end

    def new_privileges
      tell('Way of the main process to new privileges') do
        @main.no_new_privileges? ? [] : ['no_new_privs is not set']
      end
    end

    def changed_files(allowed)
      tell('Files that differ from their packages') do
        faults.select { |_, path, fault| fault != :absent && allowed.none? { |glob| match?(glob, path) } }
              .map { |package, path, fault| "#{path} of #{package} is #{fault}" }
      end
    end

    def absent_files(packages, places)
      tell('Files that their packages have and the tree lacks') do
        absent = faults.select { |package, _, fault| fault == :absent && !packages.include?(package) }
        absent.reject { |_, path, _| places.any? { |glob| match?(glob, path) } }
              .map { |package, path, _| "#{path} of #{package}" }
      end
    end

    def strangers(allowed)
      tell('Programs in system directories that no package brought') do |doubts|
        owned = with_records.owned
        found = elves(doubts).map(&:first).select { |entry| in_system?(entry) && !owned.key?(entry.path) }
        unless_allowed(found, allowed).map(&:path)
      end
    end

    def fixed_addresses(allowed)
      elf_findings('Programs at fixed addresses', allowed) do |elf|
        'is not position independent' unless elf.position_independent?
      end
    end

    def writable_relocations(allowed, full:)
      elf_findings('Programs whose relocations stay writable', allowed) do |elf|
        next unless elf.dynamic?
        next 'has no RELRO' unless elf.relro?

        'has only partial RELRO' if full && !elf.bind_now?
      end
    end

    def writable_code(allowed)
      elf_findings('Programs with memory that is both writable and executable', allowed) do |elf|
        reasons = { 'asks for an executable stack' => elf.executable_stack?,
                    'has a segment that is writable and executable' => elf.writable_code?,
                    'relocates its code' => elf.text_relocations? }.select { |_, holds| holds }.keys
        reasons.join(', ') unless reasons.empty?
      end
    end

    def search_paths(allowed)
      elf_findings('Programs that load libraries from unsafe places', allowed) do |elf, entry|
        bad = elf.search_path.select { |place| unsafe?(place, entry) }
        names = bad.map { |place| place.empty? ? '(the current directory)' : place }
        "searches #{names.join(', ')}" unless names.empty?
      end
    end

    def certificate_bundle(path)
      tell('Trusted certificates') { Certificates.new(@root, path).faults }
    end

    def expired_certificates(path, allowed)
      tell('Expired certificates') do
        bundle = Certificates.new(@root, path)
        raise Unanswered, "#{path} does not exist" unless bundle.present?

        bundle.expired.reject { |line| allowed.any? { |name| line.start_with?("#{name} expired") } }
      end
    end

    def timezone_data(zones)
      tell('Time zones') do
        zones.map { |zone| "/usr/share/zoneinfo/#{zone}" }.reject { |path| zone?(path) }
             .map { |path| "#{path} is no time zone, tzfile(5)" }
      end
    end

    # Local time: without /etc/localtime it is UTC, tzset(3).
    def local_time(wanted)
      tell('Local time') do
        local = @root.read('/etc/localtime', ZONE_LIMIT)
        zone = @root.read("/usr/share/zoneinfo/#{wanted}", ZONE_LIMIT)
        right = local.nil? ? utc?(wanted) : local == zone || (utc?(wanted) && utc_data?(local))
        right ? [] : ["/etc/localtime is not #{wanted}"]
      end
    end

    def release(supported)
      tell('Release') do
        fields = os_release or next ['there is no os-release']
        name = fields['ID'] or next ['os-release has no ID']
        versions = plain(supported)[name]
        raise Unanswered, "no supported releases are named for ID=#{Baseline.printable(name)}" unless versions
        next [] if versions == ['*'] || versions.map(&:to_s).include?(fields['VERSION_ID'])

        ["#{name} #{fields['VERSION_ID'] || 'without VERSION_ID'} is not among #{versions.join(', ')}"]
      end
    end

    def account_faults
      tell('Contradictions among accounts') { @accounts.inconsistencies }
    end

    def superusers
      tell('Accounts with user id 0 besides root') { @accounts.other_superusers }
    end

    def passwords
      tell('Passwords') { @accounts.passwords }
    end

    def login_shells
      tell('Accounts with a login shell') { @accounts.login_shells }
    end

    private

    def tell(title, &)
      Findings.new(title, &)
    end

    def walked(doubts)
      @walk ||= Walk.new(@root, **@limits)
      doubts.concat(@walk.doubts)
      @walk
    end

    # InSpec hands over the keys of inputs now as strings, now as symbols.
    def plain(value)
      value.is_a?(::Hash) ? value.to_h { |key, inner| [key.to_s, plain(inner)] } : value
    end

    def base(entry)
      ::File.basename(entry.path)
    end

    def match?(glob, path)
      ::File.fnmatch?(glob, path, GLOB)
    end

    def unless_allowed(entries, allowed)
      entries.reject { |entry| allowed.any? { |glob| match?(glob, entry.path) } }
    end

    def listed_shells
      (@root.read('/etc/shells') || '').each_line(chomp: true).select { |line| line.start_with?('/') && @root.stat(line) }
                                       .map { |line| "#{line} (named in /etc/shells)" }
    end

    def account_file(path, rule)
      about = @root.stat(path) or return nil
      most = rule['mode'].to_s.to_i(8)
      groups = rule['groups'] || [0]
      right_group = groups == '*' || groups.include?(about.gid)
      return nil if (about.mode & 0o7777 & ~most).zero? && about.uid.zero? && right_group

      "#{Entry.new(path, about).shown} should be at most #{format('%04o', most)}, owner 0, group #{[*groups].join(' or ')}"
    end

    def writable_by?(entry, uids, gids)
      about = entry.about
      return true if uids.include?(about.uid) # the owner may chmod it

      entry.mode.anybits?(0o002) || (entry.mode.anybits?(0o020) && gids.include?(about.gid))
    end

    def with_records
      raise Unanswered, 'the tree has no md5sums of packages' if @packages.records.empty?

      @packages
    end

    def faults
      @faults ||= begin
        found = []
        with_records.each_fault(Walk.now + @limits[:max_seconds]) { |*fault| found << fault }
        found
      end
    end

    def in_system?(entry)
      PROGRAM_DIRECTORIES.any? { |place| entry.path.start_with?("#{place}/") }
    end

    # Programs and libraries with their headers read; a damaged one comes with the reason instead.
    def elves(doubts)
      candidates = walked(doubts).programs
      @elf_doubts ||= []
      @elves ||= candidates.filter_map do |entry|
        next if entry.path.start_with?('/usr/lib/debug/')

        elf = read_elf(entry)
        [entry, elf] if elf.is_a?(String) || elf&.loadable?
      end
      doubts.concat(@elf_doubts)
      @elves
    end

    def read_elf(entry)
      @root.open(entry.path) { |file| Elf.read(file) }
    rescue Elf::Malformed => e
      "is a damaged program: #{e.message}"
    rescue Unanswered => e
      @elf_doubts << e.message
      nil
    end

    def elf_findings(title, allowed)
      tell(title) do |doubts|
        elves(doubts).filter_map do |entry, elf|
          next if allowed.any? { |glob| match?(glob, entry.path) }

          reason = elf.is_a?(String) ? elf : yield(elf, entry)
          "#{entry.path} #{reason}" if reason
        end
      end
    end

    # A place that is relative, or where somebody other than root may put a library: ld.so(8).
    def unsafe?(place, entry)
      path = place.gsub(/\$(?:ORIGIN\b|\{ORIGIN\})/, ::File.dirname(entry.path))
      return true unless path.start_with?('/')

      existing = path
      existing = ::File.dirname(existing) until existing == '/' || @root.stat(existing)
      about = @root.stat(existing)
      !about.uid.zero? || (about.mode & 0o022) != 0
    end

    def zone?(path)
      (@root.read(path, ZONE_LIMIT) || '').start_with?('TZif')
    end

    def utc?(name)
      %w[UTC Etc/UTC].include?(name)
    end

    # A tree without zone data may still carry a copy of UTC: its footer says so, RFC 8536 section 3.3.
    def utc_data?(text)
      text.start_with?('TZif') && text.end_with?("\nUTC0\n")
    end

    def os_release
      text = @root.read('/etc/os-release') || @root.read('/usr/lib/os-release') or return nil
      text.each_line(chomp: true).filter_map do |line|
        name, value = line.split('=', 2)
        [name, value.delete_prefix('"').delete_suffix('"').delete_prefix("'").delete_suffix("'")] if value
      end.to_h
    end
  end
end
