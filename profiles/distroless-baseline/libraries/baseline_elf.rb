# frozen_string_literal: true

module Baseline
  # The parts of an ELF file that say how it is hardened; elf(5) and the System V gABI.
  #
  # Reads headers and the dynamic section only, each within fixed bounds; raises Malformed for a file that has
  # ELF's magic number but no sense.
  class Elf
    class Malformed < StandardError; end

    MAGIC = "\x7fELF".b
    ET_EXEC = 2
    ET_DYN = 3
    PT_LOAD = 1
    PT_DYNAMIC = 2
    PT_INTERP = 3
    PT_GNU_STACK = 0x6474e551
    PT_GNU_RELRO = 0x6474e552
    PF_X = 1
    PF_W = 2
    DT_NULL = 0
    DT_STRTAB = 5
    DT_STRSZ = 10
    DT_RPATH = 15
    DT_TEXTREL = 22
    DT_BIND_NOW = 24
    DT_RUNPATH = 29
    DT_FLAGS = 30
    DT_FLAGS_1 = 0x6ffffffb
    DF_TEXTREL = 4
    DF_BIND_NOW = 8
    DF_1_NOW = 1
    MAX_SEGMENTS = 1024
    MAX_DYNAMIC = 64 * 1024
    MAX_STRING = 4096

    Segment = Struct.new(:type, :flags, :offset, :address, :size)

    # `search_path`: the directories that RPATH and RUNPATH name, as they are written.
    attr_reader :type, :search_path

    # An Elf, or nil when the open file is none.
    def self.read(file)
      file.seek(0)
      header = file.read(64)
      return nil unless header&.start_with?(MAGIC)

      new(file, header)
    end

    def initialize(file, header)
      @file = file
      @wide = { 1 => false, 2 => true }.fetch(header.getbyte(4)) { raise Malformed, 'unknown class' }
      @order = { 1 => '<', 2 => '>' }.fetch(header.getbyte(5)) { raise Malformed, 'unknown byte order' }
      @type = take(header, 16, 2)
      read_segments(header)
      read_dynamic
      @search_path = [DT_RPATH, DT_RUNPATH].flat_map { |tag| values(tag) }
                                           .flat_map { |offset| string(offset).split(':', -1) }
    end

    # A program or library; object files and core dumps are neither.
    def loadable?
      [ET_EXEC, ET_DYN].include?(@type)
    end

    def position_independent?
      @type == ET_DYN
    end

    def dynamic?
      !segment(PT_DYNAMIC).nil?
    end

    def interpreter?
      !segment(PT_INTERP).nil?
    end

    def relro?
      !segment(PT_GNU_RELRO).nil?
    end

    def bind_now?
      @dynamic.key?(DT_BIND_NOW) || flag?(DT_FLAGS, DF_BIND_NOW) || flag?(DT_FLAGS_1, DF_1_NOW)
    end

    # Without the header the kernel gives an executable stack on some architectures: execve's elf loader.
    def executable_stack?
      stack = segment(PT_GNU_STACK)
      stack.nil? || stack.flags.anybits?(PF_X)
    end

    def writable_code?
      @segments.any? { |part| part.type == PT_LOAD && part.flags.allbits?(PF_W | PF_X) }
    end

    def text_relocations?
      @dynamic.key?(DT_TEXTREL) || flag?(DT_FLAGS, DF_TEXTREL)
    end

    private

    def take(text, offset, size)
      part = text.byteslice(offset, size)
      raise Malformed, 'cut short' if part.nil? || part.bytesize < size

      part.unpack1({ 2 => 'S', 4 => 'L', 8 => 'Q' }.fetch(size) + @order)
    end

    def word
      @wide ? 8 : 4
    end

    def read_segments(header)
      offset = take(header, @wide ? 32 : 28, word)
      size = take(header, @wide ? 54 : 42, 2)
      count = take(header, @wide ? 56 : 44, 2)
      raise Malformed, 'too many program headers' if count > MAX_SEGMENTS
      raise Malformed, 'program headers too small' if count.positive? && size < (@wide ? 56 : 32)

      table = at(offset, size * count)
      @segments = Array.new(count) { |index| segment_at(table, index * size) }
    end

    def segment_at(table, base)
      fields = @wide ? [4, 8, 16, 32] : [24, 4, 8, 16] # flags, offset, address, size in the file
      flags, offset, address, size = fields
      Segment.new(take(table, base, 4), take(table, base + flags, 4), take(table, base + offset, word),
                  take(table, base + address, word), take(table, base + size, word))
    end

    def read_dynamic
      @dynamic = {}
      part = segment(PT_DYNAMIC) or return
      table = at(part.offset, [part.size, MAX_DYNAMIC].min)
      (0..table.bytesize - (2 * word)).step(2 * word) do |base|
        tag = take(table, base, word)
        break if tag == DT_NULL

        (@dynamic[tag] ||= []) << take(table, base + word, word)
      end
    end

    def string(offset)
      table = values(DT_STRTAB).first or raise Malformed, 'no string table'
      size = values(DT_STRSZ).first
      raise Malformed, 'string outside of its table' if size && offset >= size

      address = table + offset
      part = @segments.find do |each|
        each.type == PT_LOAD && address.between?(each.address, each.address + each.size)
      end
      raise Malformed, 'string table outside of the file' unless part

      at(part.offset + address - part.address, MAX_STRING, short: true).split("\0", 2).first || ''
    end

    def at(offset, size, short: false)
      return ''.b if size.zero?
      raise Malformed, 'offset outside of the file' if offset >= @file.size

      @file.seek(offset)
      text = @file.read(size) || ''.b
      raise Malformed, 'cut short' if text.bytesize < size && !short

      text
    end

    def segment(type)
      @segments.find { |part| part.type == type }
    end

    def flag?(tag, bit)
      values(tag).any? { |value| value.anybits?(bit) }
    end

    def values(tag)
      @dynamic[tag] || []
    end
  end
end
