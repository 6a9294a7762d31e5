# frozen_string_literal: true

# Starts the auditor inside a target: Ruby's own paths first, so that no file of the target is ever loaded, then the
# gem, then its command line with ARGV.
#
# Run as `ruby --disable=gems auditor.rb exec PROFILE …` from BUNDLE/lib/barescan: RubyGems would otherwise be loaded,
# and read its configuration, before the paths are trimmed here.
#
# Standard output carries one line for every finished control: `barescan-progress {"control":ID,"status":WORD}`.

BUNDLE = File.expand_path("../..", __dir__)
HOME_UUID = "barescan"
LICENCE_NEEDED = 172 # InSpec's own exit status for a licence that was not accepted

$LOAD_PATH.select! { |directory| File.expand_path(directory).start_with?("#{BUNDLE}/") }
ENV.delete_if { |name, _| name.start_with?("RUBY", "GEM_", "BUNDLE_") }

require "rubygems"
Gem.paths = { "GEM_HOME" => "#{BUNDLE}/gems", "GEM_PATH" => "#{BUNDLE}/gems" }
# Commands that are audited inherit the environment; a Ruby of the target is none of our business.
ENV.delete_if { |name, _| name.start_with?("RUBY", "GEM_", "BUNDLE_") }

# Returns the name of the gem that holds the auditor: the core comes alone or beneath the full one.
def auditor_gem
  %w[inspec-core inspec].find { |name| Gem::Specification.find_all_by_name(name).any? } ||
    abort("barescan: this bundle has no auditor: no gem inspec-core or inspec in #{Gem.dir}")
end

# From version 6 on Chef's own builds ask for a licence key; CINC's are the same source under its own name.
def refuse_licensed_build
  return if Inspec::Dist::EXEC_NAME != "inspec" || Gem::Version.new(Inspec::VERSION) < Gem::Version.new("6")

  warn "barescan: InSpec #{Inspec::VERSION} is Chef's licensed build; build the bundle with CINC Auditor's gems"
  exit LICENCE_NEEDED
end

# Gives the run an id where the target has none of its own (train looks here before the machine-id files, and fails
# where nothing is found).
def name_nameless_target
  return if %w[/etc/machine-id /var/lib/dbus/machine-id].any? { |file| File.size?(file) }

  directory = "#{Dir.home}/.chef"
  Dir.mkdir(directory) unless Dir.exist?(directory)
  File.write("#{directory}/chef_guid", HOME_UUID)
end

$stdout.sync = true
Encoding.default_external = Encoding::UTF_8
Encoding.default_internal = Encoding::UTF_8
gem auditor_gem
require "inspec/version"
require "inspec/dist"
refuse_licensed_build
name_nameless_target
require "inspec"
require_relative "shim"
require "inspec/cli"
# The source is under the Apache licence, and the builds that are under another one were refused above.
Inspec::InspecCLI.start(ARGV, enforce_license: false)
