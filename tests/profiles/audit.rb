# frozen_string_literal: true

# Evaluates the profile's own control files over a tree with a few lines in place of InSpec, so that they can be
# tested where there are no gems. Standard input: {"profile", "inputs", "live"}; output: control => result.
require 'json'
require 'yaml'

job = JSON.parse($stdin.read)
$LOAD_PATH.unshift(File.join(job['profile'], 'libraries'))
require 'baseline_target'

if job['live'] # the tree's /proc is a made-up one
  class Baseline::MainProcess
    def not_running? = false
  end
end

metadata = YAML.safe_load_file(File.join(job['profile'], 'inspec.yml'))
INPUTS = metadata['inputs'].to_h { |input| [input['name'], input['value']] }.merge(job['inputs'])
RESULTS = {}
Resource = Struct.new(:ask)

def distroless(options)
  @target ||= Resource.new(Baseline::Target.new(**options))
end

def input(name)
  INPUTS.fetch(name)
end

class Control
  def initialize(id)
    @id = id
    RESULTS[id] = { 'tags' => {}, 'findings' => [], 'skipped' => [], 'checks' => 0 }
  end

  def title(text) = RESULTS[@id]['title'] = text
  def impact(value) = RESULTS[@id]['impact'] = value
  def tag(pair) = RESULTS[@id]['tags'].merge!(pair.transform_keys(&:to_s))
  def desc(*texts) = (RESULTS[@id]['desc'] ||= []) << texts

  def describe(answer)
    RESULTS[@id]['checks'] += 1
    return RESULTS[@id]['skipped'] << answer.resource_exception_message if answer.resource_skipped?

    RESULTS[@id]['findings'].concat(answer.findings)
  end
end

def control(id, &)
  raise "#{id} is there twice" if RESULTS.key?(id)

  Control.new(id).instance_eval(&)
end

Dir[File.join(job['profile'], 'controls', '*.rb')].sort.each { |file| eval(File.read(file), binding, file) }
puts JSON.generate(RESULTS)
