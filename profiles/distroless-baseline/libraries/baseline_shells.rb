# frozen_string_literal: true

require 'baseline_elf'
require 'baseline_root'

module Baseline
  # Tells a shell by what is in it, whatever its name: multi-call binaries and renamed shells.
  class Shells
    # What the programs print of themselves.
    SIGNATURES = {
      'BusyBox' => ['BusyBox v'],
      'Toybox' => ['toybox ', 'Toybox'],
      'bash' => ['GNU bash, version'],
      'mksh' => ['MIRBSD KSH'],
      'fish' => ['__fish_'],
      # Variables that a POSIX shell sets or reads, XCU 2.5.3: together they make one.
      'a POSIX shell' => %w[OPTIND CDPATH PS4 IFS PPID]
    }.freeze
    LIMIT = 16 * 1024 * 1024
    BUDGET = 512 * 1024 * 1024

    def initialize(root, names)
      @root = root
      @names = names
      @read = 0
    end

    # Why an executable file counts as a shell, or nil.
    def reason(entry)
      name = ::File.basename(entry.path)
      return 'by its name' if @names.include?(name)
      return nil if name.match?(/\.so(\.|\z)/n)

      kind = @root.open(entry.path) { |file| signature(file) }
      kind && "#{kind} by its content"
    end

    private

    def signature(file)
      return nil unless file.read(4) == Elf::MAGIC

      raise Unanswered, "more than #{BUDGET} bytes of programs: not all were looked into" if @read > BUDGET

      file.seek(0)
      text = file.read(LIMIT)
      @read += text.bytesize
      SIGNATURES.each { |kind, marks| return kind if marks.all? { |mark| text.include?(mark.b) } }
      nil
    end
  end
end
