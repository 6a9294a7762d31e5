# frozen_string_literal: true

require 'baseline_root'

module Baseline
  # What /proc tells everybody about the main process of the container, proc_pid_status(5).
  class MainProcess
    OUR_BUNDLE = '/sys/firmware/bundle.json'

    def initialize(root, pid)
      @root = root
      @pid = pid
    end

    def uids
      numbers('Uid')
    end

    def gids
      [*numbers('Gid'), *numbers('Groups')]
    end

    # Capability sets that hold something, by name, as hexadecimal masks.
    def capabilities
      %w[Inh Prm Eff Amb].to_h { |set| ["Cap#{set}", field("Cap#{set}").to_i(16)] }.reject { |_, mask| mask.zero? }
    end

    def no_new_privileges?
      field('NoNewPrivs') == '1'
    end

    private

    def numbers(name)
      field(name).split.map(&:to_i)
    end

    def field(name)
      status.fetch(name) { raise Unanswered, "/proc/#{@pid}/status has no #{name}" }
    end

    def status
      @status ||= begin
        raise Unanswered, 'the tree is not running: it has no main process' if not_running?

        text = @root.read("/proc/#{@pid}/status", 64 * 1024)
        raise Unanswered, "there is no process #{@pid}" unless text

        text.each_line(chomp: true).to_h { |line| line.split(':', 2).map(&:strip) }
      end
    end

    # A tree that is scanned without running has a /proc of the auditor alone, whose process 1 would be taken for
    # the target's. Beside a target the auditor is in a PID namespace below the one that /proc is of, and so has
    # an id in each: two numbers in NSpid, proc_pid_status(5).
    def not_running?
      return true unless @root.top.empty?
      return false unless ::File.exist?(OUR_BUNDLE)

      ids = ::File.read('/proc/self/status')[/^NSpid:(.*)$/, 1]
      ids.nil? || ids.split.size < 2
    end
  end
end
