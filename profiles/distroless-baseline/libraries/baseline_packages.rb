# frozen_string_literal: true

require 'digest'
require 'baseline_root'

module Baseline
  # Files against the MD5 sums their Debian packages came with: distroless keeps them in
  # `status.d/PACKAGE.md5sums`, dpkg in `info/PACKAGE.md5sums` (dpkg-deb's `md5sums`, deb-md5sums(5)).
  # MD5 tells a changed file from the packaged one; it does not withstand somebody who forges the record too.
  class Packages
    PLACES = %w[/var/lib/dpkg/status.d /var/lib/dpkg/info].freeze
    MAX_RECORD = 16 * 1024 * 1024
    MAX_FILE = 1024 * 1024 * 1024
    CHUNK = 1024 * 1024

    def initialize(root)
      @root = root
    end

    # Package => its lines as [md5, path]; lines that are no such pair come as [nil, line].
    def records
      @records ||= PLACES.each_with_object({}) do |place, found|
        @root.children(place).each do |name|
          next unless name.end_with?('.md5sums')

          text = @root.read("#{place}/#{name}", MAX_RECORD)
          found[name.delete_suffix('.md5sums')] = parse(text) if text
        end
      end
    end

    # Every path that a package brought, links in it followed (merged /usr).
    def owned
      records.values.flatten(1).each_with_object({}) do |(sum, path), found|
        next unless sum

        real = @root.resolve("/#{path}")
        found[real] = true if real
      end
    end

    # Yield package, path and what is wrong with it: :absent, :different or :unreadable.
    def each_fault(deadline)
      records.each do |package, lines|
        lines.each do |sum, path|
          raise Unanswered, "the record of #{package} has a line that is no checksum" unless sum
          raise Unanswered, 'comparing the files took too long' if Walk.now > deadline

          fault = fault_of(sum, "/#{path}")
          yield package, "/#{path}", fault if fault
        end
      end
    end

    private

    def parse(text)
      text.each_line(chomp: true).reject(&:empty?).map do |line|
        match = line.b.match(/\A([0-9a-f]{32})[ *]+(.+)\z/n)
        match ? match.captures : [nil, line]
      end
    end

    def fault_of(sum, path)
      real = @root.resolve(path) or return :absent
      found = @root.open(real) { |file| md5(file) }
      return :different if found.nil? # no longer a regular file

      :different if found != sum
    rescue Unanswered
      :unreadable
    end

    def md5(file)
      return '' if file.size > MAX_FILE

      sum = ::Digest::MD5.new
      while (part = file.read(CHUNK))
        sum << part
      end
      sum.hexdigest
    end
  end
end
