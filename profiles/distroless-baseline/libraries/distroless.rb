# frozen_string_literal: true

require 'baseline_target'

# The resource of this profile: one tree, walked once for all controls.
class Distroless < Inspec.resource(1)
  name 'distroless'
  desc 'Questions about a container image that has nothing to be asked with. Reads the file system directly.'
  example "
    describe distroless(root: '/').setid_files([]) do
      its('findings') { should be_empty }
    end
  "

  # Answers every question with the reason why it can't be answered.
  class Nowhere
    def initialize(reason)
      @reason = reason
    end

    def method_missing(question, *_arguments, **_options)
      Baseline::Findings.new(question.to_s.tr('_', ' ')) { raise Baseline::Unanswered, @reason }
    end

    def respond_to_missing?(_name, _include_private = false)
      true
    end
  end

  TARGETS = {} # rubocop:disable Style/MutableConstant -- one walk for all control files

  def initialize(options = {})
    super()
    @target = local? ? (TARGETS[options] ||= Baseline::Target.new(**options)) : elsewhere
  end

  # The questions themselves.
  def ask
    @target
  end

  def to_s
    'Distroless image'
  end

  private

  def local?
    inspec.backend.uri.to_s.start_with?('local:')
  end

  def elsewhere
    Nowhere.new('this profile reads the file system of the place where it runs: ' \
                'run it inside the target (barescan scan), not through a remote transport')
  end
end
