# frozen_string_literal: true

require 'baseline_findings'

# Reading below a root directory that somebody hostile may have filled.
module Baseline
  # Paths are absolute as the target sees them; links are followed inside the root only.
  class Root
    MAX_LINKS = 40 # as the kernel's own limit, path_resolution(7)
    MAX_TEXT = 4 * 1024 * 1024

    attr_reader :top

    def initialize(top = '/')
      @top = top.chomp('/')
    end

    # The path on this side of a path of the target's, with no link followed.
    def outer(path)
      "#{@top}/#{path.delete_prefix('/')}"
    end

    def lstat(path)
      ::File.lstat(outer(path))
    rescue SystemCallError
      nil
    end

    # The path with every link followed, as the target would see it, or nil where it leads nowhere.
    def resolve(path)
      pending = path.split('/')
      done = []
      links = 0
      until pending.empty?
        part = pending.shift
        next if part.empty? || part == '.'

        if part == '..'
          done.pop
          next
        end
        here = "/#{[*done, part].join('/')}"
        about = lstat(here) or return nil
        unless about.symlink?
          done << part
          next
        end
        return nil if (links += 1) > MAX_LINKS

        target = readlink(here) or return nil
        done = [] if target.start_with?('/')
        pending = target.split('/') + pending
      end
      "/#{done.join('/')}"
    end

    def readlink(path)
      ::File.readlink(outer(path))
    rescue SystemCallError
      nil
    end

    # stat(2) after following links inside the root, or nil.
    def stat(path)
      real = resolve(path)
      real && lstat(real)
    end

    # At most `limit` bytes of a regular file, links followed inside the root; nil when there is none.
    # A file that is longer, or one that can't be read, raises Unanswered.
    def read(path, limit = MAX_TEXT)
      real = resolve(path) or return nil
      open(real) do |file|
        text = file.read(limit + 1) || ''.b
        raise Unanswered, "#{path} is longer than #{limit} bytes" if text.bytesize > limit

        text
      end
    end

    # Yield the open regular file at an already resolved path; anything else (FIFO, device, socket) gives nil.
    # NONBLOCK and the check after opening hold even when the file is exchanged in between.
    def open(path)
      flags = ::File::RDONLY | ::File::NOFOLLOW | ::File::NONBLOCK | ::File::NOCTTY
      about = lstat(path)
      return nil unless about&.file?

      ::File.open(outer(path), flags, binmode: true) { |file| file.stat.file? ? yield(file) : nil }
    rescue Errno::ENOENT, Errno::ELOOP, Errno::ENXIO
      nil
    rescue SystemCallError => e
      raise Unanswered, "#{path} can't be read: #{e.class.name.split('::').last}"
    end

    # The names in a directory, or none.
    def children(path)
      real = resolve(path)
      real ? ::Dir.children(outer(real)).sort : []
    rescue SystemCallError
      []
    end
  end
end
