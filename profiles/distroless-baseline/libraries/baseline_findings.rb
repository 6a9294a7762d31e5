# frozen_string_literal: true

# What a question about the target found, in a form that `describe` takes.
module Baseline
  # Raised by a question that can't be answered truly; its control becomes Not Reviewed.
  class Unanswered < StandardError; end

  # Names come from a target that may be hostile: show only printable ASCII, everything else escaped.
  def self.printable(text)
    text.to_s.b.gsub(/[^\x20-\x5b\x5d-\x7e]/n) { |byte| format('\x%02x', byte.ord) }[0, 500]
  end

  # The answer to one question: `findings` are lines, empty when all is well. It stands in for a resource:
  # InSpec asks any described object whether it was skipped.
  class Findings
    SHOWN = 50

    attr_reader :findings, :resource_exception_message

    # The block returns an array of strings; it may raise Unanswered, or leave a reason in `doubts`.
    def initialize(title)
      @title = title
      @doubts = []
      all = yield(@doubts).map { |line| Baseline.printable(line) }.uniq.sort
      @findings = all.first(SHOWN)
      @findings << "and #{all.size - SHOWN} more" if all.size > SHOWN
      # Something found is certain; nothing found is not, when not everything was looked at.
      @resource_exception_message = @doubts.uniq.join('; ') if all.empty? && !@doubts.empty?
    rescue Unanswered => e
      @findings = []
      @resource_exception_message = e.message
    end

    def resource_skipped?
      !@resource_exception_message.nil?
    end

    def resource_failed?
      false
    end

    def to_s
      @title
    end
    alias inspect to_s
  end
end
