# frozen_string_literal: true

require 'baseline_root'

module Baseline
  # One file, directory or other thing of the tree; `path` is absolute as the target sees it.
  Entry = Struct.new(:path, :about) do
    def mode
      about.mode & 0o7777
    end

    def loose?
      mode.anybits?(0o022)
    end

    def shown
      "#{path} (mode #{format('%04o', mode)}, owner #{about.uid}:#{about.gid})"
    end
  end

  # The tree walked once, without following links or crossing into other file systems; what the questions
  # need is picked out on the way, so that memory does not grow with the tree.
  class Walk
    SKIPPED = %w[/proc /sys /dev].freeze
    PROGRAM_PLACES = %w[/bin /sbin /lib /lib32 /lib64 /libx32 /usr /boot].freeze
    MAX_DEPTH = 128
    KEPT = 20_000

    attr_reader :setid, :world_writable, :devices, :programs, :loose_system, :loose_config, :entries, :doubts

    def initialize(root, max_entries:, max_seconds:)
      @root = root
      @max_entries = max_entries
      @deadline = Walk.now + max_seconds
      @setid = []
      @world_writable = []
      @devices = []
      @programs = []
      @loose_system = []
      @loose_config = []
      @doubts = []
      @entries = 0
      run
    end

    def self.now
      ::Process.clock_gettime(::Process::CLOCK_MONOTONIC)
    end

    private

    def run
      top = @root.lstat('/') or raise Unanswered, 'the root directory can not be read'
      sort_out(Entry.new('/', top))
      waiting = [['', 0]]
      until waiting.empty? || @stopped
        directory, depth = waiting.pop
        each_child(directory) do |entry|
          sort_out(entry)
          waiting << [entry.path, depth + 1] if descend?(entry, depth, top.dev)
        end
      end
    end

    def each_child(directory)
      ::Dir.each_child(@root.outer(directory)) do |name|
        path = "#{directory.b}/#{name.b}"
        return if stop?(path)

        about = @root.lstat(path)
        yield Entry.new(path, about) if about
      end
    rescue Errno::ENOENT, Errno::ENOTDIR
      nil # gone meanwhile
    rescue SystemCallError => e
      doubt("#{directory} can't be listed: #{e.class.name.split('::').last}")
    end

    def descend?(entry, depth, device)
      return false unless entry.about.directory?
      return false if SKIPPED.include?(entry.path)
      return false if entry.about.dev != device # a volume, or a mount of the runtime's

      return true if depth < MAX_DEPTH

      doubt("directories are nested deeper than #{MAX_DEPTH}")
      false
    end

    def stop?(path)
      @entries += 1
      if @entries > @max_entries
        doubt("the walk stopped after #{@max_entries} entries")
      elsif (@entries % 512).zero? && Walk.now > @deadline
        doubt("the walk took too long and stopped at #{Baseline.printable(path)}")
      else
        return false
      end
      @stopped = true
    end

    def sort_out(entry)
      about = entry.about
      return if about.symlink?

      if about.file?
        keep(@setid, entry) if entry.mode.anybits?(0o6000)
        keep(@programs, entry) if program?(entry)
      elsif about.chardev? || about.blockdev?
        keep(@devices, entry)
        return
      end
      return unless about.file? || about.directory?

      keep(@world_writable, entry) if world_writable?(entry)
      sort_out_system(entry)
    end

    # Everybody may write: for a directory that is fine when only owners may remove (sticky).
    def world_writable?(entry)
      entry.mode.anybits?(0o002) && !(entry.about.directory? && entry.mode.anybits?(0o1000))
    end

    def sort_out_system(entry)
      return unless entry.loose? || entry.about.uid != 0

      keep(@loose_system, entry) if entry.path == '/' || under?(entry.path, PROGRAM_PLACES)
      keep(@loose_config, entry) if under?(entry.path, ['/etc'])
    end

    def under?(path, places)
      places.any? { |place| path == place || path.start_with?("#{place}/") }
    end

    def program?(entry)
      entry.mode.anybits?(0o111) || entry.path.match?(/\.so(\.[^\/]*)?\z/n)
    end

    def keep(list, entry)
      return list << entry if list.size < KEPT

      doubt("more than #{KEPT} files of a kind: the rest was not looked at")
    end

    def doubt(reason)
      @doubts << reason unless @doubts.size >= 5 || @doubts.include?(reason)
    end
  end
end
