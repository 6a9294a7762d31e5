# frozen_string_literal: true

# What the auditor needs changed to work where the target has no programs: how programs are found, how train runs
# commands, and what is said about progress. All else (absolute paths, /bin/sh, pipes inside shell commands) is the
# work of the preloaded view library.

require "json"
require "shellwords"
require "train"
require "train/transports/local"
require "mixlib/shellout"
require "inspec/rule"
require "inspec/runner_rspec"

module Barescan
  TOOLS = "#{File.expand_path("../..", __dir__)}/bin"

  # Finds programs as execvp(3) would, in the target's PATH, and in the bundle where that has none.
  module Programs
    # What makes Ruby hand a command string to the shell (process.c, rb_exec_fillarg).
    SHELL_CHARACTERS = /[*?{}\[\]<>()~&|\\$;'`"\n#]/
    SHELL_WORDS = %w[! . : break case continue do done elif else esac eval exec exit export fi for if in readonly return
                     set shift then times trap unset until while].freeze

    module_function

    # Returns the arguments of spawn(), exec() and their like so that the program is found.
    def located(arguments)
      at = arguments.first.is_a?(Hash) ? 1 : 0
      path = (at == 1 && arguments[0]["PATH"]) || ENV.fetch("PATH", "")
      command = command_at(arguments, at)
      tool = command && tool_for(command.first, path)
      return arguments unless tool

      rest = arguments[(at + 1)..]
      arguments[0, at] + [[tool, command[0]]] + command[1..] + rest
    end

    # As `located`, for methods that take one command string, which they may give to the shell.
    def located_string(command)
      first, *rest = words(command)
      tool = first && tool_for(first, ENV.fetch("PATH", ""))
      tool ? Shellwords.join([tool, *rest]) : command
    end

    # Returns [program, argument, …] of the command, of which only those beside it are not in `arguments`.
    def command_at(arguments, at)
      command = arguments[at]
      return [command[0]] if command.is_a?(Array)
      return unless command.is_a?(String)

      arguments[at + 1].is_a?(String) ? [command] : words(command)
    end

    # Returns the words of a command string, or nil where Ruby leaves it to the shell.
    def words(command)
      found = command.split
      return if found.empty? || command.match?(SHELL_CHARACTERS)
      return if found[0].include?("=") || SHELL_WORDS.include?(found[0])

      found
    end

    # Returns the path of the program of this bare name: the target's, or where it has none the bundle's, or nil. Ruby
    # itself would pass over what it may not execute, and on the noexec view of a target that is everything.
    def tool_for(name, path)
      return if name.nil? || name.empty? || name.include?("/")

      places = path.split(":").map { |directory| "#{directory.empty? ? "." : directory}/#{name}" }
      places.find { |place| program?(place) } || ("#{TOOLS}/#{name}" if File.file?("#{TOOLS}/#{name}"))
    end

    # Says whether a path is a program by its mode bits, whatever mount it lies on.
    def program?(path)
      about = File.stat(path)
      about.file? && about.mode.anybits?(0o111)
    rescue SystemCallError
      false
    end
  end

  # Kernel's ways to start a program.
  module Starting
    private

    def system(*arguments, **options) = super(*Programs.located(arguments), **options)
    def spawn(*arguments, **options) = super(*Programs.located(arguments), **options)
    def exec(*arguments, **options) = super(*Programs.located(arguments), **options)
    def `(command) = super(Programs.located_string(command))
  end

  # IO.popen: a command string, or one array that holds the whole command.
  module Popen
    def popen(*arguments, **options, &block)
      at = arguments.first.is_a?(Hash) ? 1 : 0
      command = arguments[at]
      if command.is_a?(Array)
        arguments[at] = Programs.located(command)
      elsif command.is_a?(String) && command != "-"
        arguments[at] = Programs.located_string(command)
      end
      super
    end
  end

  Kernel.prepend(Starting)
  [Kernel, Process].each do |owner|
    owner.singleton_class.prepend(Module.new do
      def spawn(*arguments, **options) = super(*Programs.located(arguments), **options)
      def exec(*arguments, **options) = super(*Programs.located(arguments), **options)
    end)
  end
  Kernel.singleton_class.prepend(Module.new do
    def system(*arguments, **options) = super(*Programs.located(arguments), **options)
    def `(command) = super(Programs.located_string(command))
  end)
  IO.singleton_class.prepend(Popen)

  # Runs one command and collects what it says: mixlib-shellout's contract, by vfork(2) instead of a fork of the whole
  # Ruby process (300 `stat` took 10.5 s by the latter).
  class Runner
    DEFAULT_TIMEOUT_SECONDS = 600 # mixlib-shellout's
    CHUNK_BYTES = 65_536
    TERM_SECONDS = 3 # between TERM and KILL, as in mixlib-shellout

    def initialize(command, timeout)
      @command = command
      @timeout = timeout || DEFAULT_TIMEOUT_SECONDS
      @output = [String.new, String.new] # binary, as pipes are
    end

    # Returns [stdout, stderr, exit status or nil]; raises Errno::ENOENT, Errno::EACCES, Train::CommandTimeoutReached.
    def run
      deadline = now + @timeout
      pipes = [IO.pipe, IO.pipe]
      pid = start(*pipes.map(&:last))
      pipes.each { |_, write| write.close }
      status = collect(pid, pipes.map(&:first), deadline)
      [*@output, status.exitstatus]
    ensure
      pipes&.flatten&.each(&:close)
    end

    private

    def now = Process.clock_gettime(Process::CLOCK_MONOTONIC)

    def start(out, err)
      Process.spawn(*@command, in: File::NULL, out: out, err: err, pgroup: true)
    end

    # Reads until the command has ended; what its own children still hold open is not waited for.
    def collect(pid, readers, deadline)
      open = readers.dup
      until open.empty?
        ready, = IO.select(open, nil, nil, 0.01)
        ready ? read(ready, readers, open) : (status = Process.wait2(pid, Process::WNOHANG)&.last)
        break if status
        next unless now > deadline

        stop(pid)
        raise Train::CommandTimeoutReached
      end
      status ||= wait(pid, deadline)
      read(open, readers, open)
      status
    end

    def read(ready, readers, open)
      ready.dup.each do |reader|
        loop { @output[readers.index(reader)] << reader.read_nonblock(CHUNK_BYTES) }
      rescue IO::WaitReadable
        next
      rescue EOFError
        open.delete(reader)
      end
    end

    def wait(pid, deadline)
      pause = 0.0005
      until (ended = Process.wait2(pid, Process::WNOHANG))
        if now > deadline
          stop(pid)
          raise Train::CommandTimeoutReached
        end
        sleep(pause = [pause * 2, 0.05].min)
      end
      ended.last
    end

    def stop(pid)
      Process.kill(:TERM, -pid)
      give_up = now + TERM_SECONDS
      sleep 0.01 until Process.wait(pid, Process::WNOHANG) || now > give_up
      Process.kill(:KILL, -pid)
      Process.wait(pid)
    rescue Errno::ESRCH, Errno::ECHILD
      nil
    end
  end

  # Reads SELinux labels without starting stat(1), which train does for every file.
  module Labels
    QUESTION = /\Astat( -L)? (\S+) 2>\/dev\/null --printf '%C'\z/
    ATTRIBUTE = "security.selinux"
    MAX_BYTES = 4096

    module_function

    # Returns what `stat --printf %C` would have printed and its exit status, or nil for any other command.
    def answer(command)
      follow, word = QUESTION.match(command)&.captures
      return unless word && functions

      buffer = "\0" * MAX_BYTES
      length = functions[follow ? 0 : 1].call(Shellwords.split(word)[0], ATTRIBUTE, buffer, MAX_BYTES)
      length.positive? ? [buffer.byteslice(0, length).delete_suffix("\0"), 0] : ["?", 1]
    rescue ArgumentError # unmatched quotes: not a command that train made
      nil
    end

    def functions
      @functions ||= begin
        require "fiddle"
        libc = Fiddle.dlopen(nil)
        types = [Fiddle::TYPE_VOIDP, Fiddle::TYPE_VOIDP, Fiddle::TYPE_VOIDP, Fiddle::TYPE_SIZE_T]
        %w[getxattr lgetxattr].map { |name| Fiddle::Function.new(libc[name], types, Fiddle::TYPE_SSIZE_T) }
      end
    rescue LoadError, Fiddle::DLError
      nil
    end
  end

  # Commands of the target's own: they are never run, so what they would have said is not known. A shell's answer
  # (status 126) is given for them, and the controls that asked are written down, for the client to take back what they
  # claim: an exception would not do, as InSpec turns some into empty tables, of which nothing is wrong. So are programs
  # that are nowhere.
  module Refusal
    STATUS = 126 # sh(1): found but not executable
    # What bash says of a program that it may not start, and of a script, with the interpreter after its name.
    SHELL_LINE = /^\S*sh: (?:line \d+: )?(\/[^:\n]*): (?:[^:\n]*: bad interpreter: )?Permission denied$/
    RECORD = "refused.json"
    # What bash says of a program that is nowhere; and where a path was given, of that.
    ABSENT_LINE = /^\S*sh: (?:line \d+: )?([^:\n]*): (?:command not found|No such file or directory)$/
    ABSENT_RECORD = "absent.json"

    @programs = {} # command => program
    @controls = {} # id => program
    @absent = {} # command => programs
    @lacking = Hash.new { |hash, control| hash[control] = [] } # id => programs

    class << self
      # Notes the program that the shell was not let run for a command, if there is one.
      def note_shell(command, stderr)
        program = stderr.scan(SHELL_LINE).flatten.find { |path| Programs.program?(path) }
        @programs[command] = program if program
      end

      # Notes the program of a command that Ruby starts without a shell; returns it, or nil where it is no program.
      def note_own(command)
        name = command.is_a?(String) ? Programs.words(command)&.first : command.first
        return if name.nil?

        directories = name.include?("/") ? [nil] : ENV.fetch("PATH", "").split(":")
        places = directories.map { |directory| [directory, name].compact.join("/") }
        program = places.find { |path| Programs.program?(path) }
        @programs[command] = program if program
      end

      # Notes the programs of a command that neither the target nor the bundle has. Controls that break on the empty
      # answer are in error, and the client says why: nobody would guess it from "undefined method for nil".
      def note_absent(command, names)
        found = names.reject { |name| name.empty? || (name.include?("/") && Programs.program?(name)) }
        @absent[command] = found if found.any?
      end

      # Charges the control at hand with a command that was not run; train may answer it from its cache by now.
      def charge(command)
        program = @programs[command]
        control = RSpec.current_example&.metadata&.fetch(:id, nil) || @loading
        return unless control

        @controls[control] ||= program if program
        @lacking[control] |= @absent[command] if @absent.key?(command)
      end

      # Runs the body of a control, whose commands are charged to it.
      def loading(control)
        before, @loading = @loading, control
        yield
      ensure
        @loading = before
      end

      def write
        File.write("#{Dir.home}/#{RECORD}", JSON.generate(@controls))
        File.write("#{Dir.home}/#{ABSENT_RECORD}", JSON.generate(@lacking))
      end
    end
  end

  Inspec::Rule.prepend(Module.new do
    def initialize(id, *, **, &)
      Refusal.loading(id) { super }
    end
  end)
  at_exit { Refusal.write }

  # train's local connection, with the runner above.
  module Connection
    def run_command(command, *, &)
      super.tap { Refusal.charge(command) }
    end

    private

    def run_command_via_connection(command, options = {}, &)
      label, status = Labels.answer(command)
      return Train::Extras::CommandResult.new(label, "", status) if label

      Barescan.run(command, options)
    end
  end

  # Returns train's result of a command; ENOENT is an empty one with status 1, as train has it.
  def self.run(command, options)
    out, err, status = Runner.new(Array(command), options[:timeout]).run
    Refusal.note_shell(command, err) if err.include?("Permission denied")
    Refusal.note_absent(command, err.scan(Refusal::ABSENT_LINE).flatten) if err.include?("sh: ")
    Train::Extras::CommandResult.new(out, err, status)
  rescue Errno::ENOENT
    Refusal.note_absent(command, Array(command.is_a?(String) ? Programs.words(command)&.first : command.first))
    Train::Extras::CommandResult.new("", "", 1)
  rescue Errno::EACCES
    program = Refusal.note_own(command) || raise
    Train::Extras::CommandResult.new("", "sh: #{program}: Permission denied\n", Refusal::STATUS)
  end

  Train::Transports::Local::Connection.prepend(Connection)

  # Says on standard output which control has just finished.
  class ProgressFormatter
    RANK = { passed: 0, pending: 1, failed: 2 }.freeze
    WORDS = %w[passed skipped failed].freeze

    RSpec::Core::Formatters.register self, :example_passed, :example_pending, :example_failed, :close

    def initialize(_output)
      @control = nil
      @rank = 0
    end

    def example_passed(notification) = note(notification.example, :passed)
    def example_pending(notification) = note(notification.example, :pending)
    def example_failed(notification) = note(notification.example, :failed)
    def close(_notification) = flush

    private

    # A control's examples follow each other, so the next control's first one tells that it has ended.
    def note(example, status)
      control = example.metadata[:id]
      flush if control != @control
      @control = control
      @rank = [@rank, RANK.fetch(status)].max
    end

    def flush
      $stdout.puts("barescan-progress #{JSON.generate(control: @control, status: WORDS[@rank])}") if @control
      @control = nil
      @rank = 0
    end
  end

  Inspec::RunnerRspec.prepend(Module.new do
    def run(with = nil)
      RSpec.configuration.add_formatter(ProgressFormatter, File::NULL)
      super
    end
  end)
end
