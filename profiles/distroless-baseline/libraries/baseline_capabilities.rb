# frozen_string_literal: true

require 'baseline_root'

module Baseline
  # File capabilities, capabilities(7), through lgetxattr(2): Ruby's library has no call for it, and none of the
  # target's or our programs has to be run for one per file.
  class FileCapabilities
    NAME = 'security.capability'

    def initialize(root)
      @root = root
      require 'fiddle'
      address = ::Fiddle.dlopen(nil)['lgetxattr']
      pointer = ::Fiddle::TYPE_VOIDP
      @call = ::Fiddle::Function.new(address, [pointer, pointer, pointer, ::Fiddle::TYPE_SIZE_T],
                                     ::Fiddle::TYPE_SSIZE_T)
    rescue ::LoadError, ::StandardError
      raise Unanswered, 'extended attributes can not be read here: this Ruby has no fiddle'
    end

    def any?(path)
      return true unless @call.call(@root.outer(path), NAME, nil, 0).negative?

      number = ::Fiddle.last_error
      return false if [::Errno::ENODATA::Errno, ::Errno::ENOTSUP::Errno, ::Errno::ENOENT::Errno].include?(number)

      raise Unanswered, "#{Baseline.printable(path)}: extended attributes can't be read (errno #{number})"
    end
  end
end
