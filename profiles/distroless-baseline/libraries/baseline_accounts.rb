# frozen_string_literal: true

require 'baseline_root'

module Baseline
  # passwd(5), group(5) and shadow(5), read without NSS.
  class Accounts
    NO_LOGIN = %w[nologin false].freeze
    User = Struct.new(:name, :password, :uid, :gid, :gecos, :home, :shell)
    Group = Struct.new(:name, :password, :gid, :members)
    Shadow = Struct.new(:name, :password)

    def initialize(root)
      @root = root
      @malformed = []
    end

    def users
      @users ||= rows('/etc/passwd', 7).map { |row| User.new(*row) }
    end

    def groups
      @groups ||= rows('/etc/group', 4).map { |row| Group.new(*row) }
    end

    def shadow
      @shadow ||= rows('/etc/shadow', 9).map { |row| Shadow.new(*row.first(2)) }
    end

    def inconsistencies
      numbers = [*users.map(&:gid), *users.map(&:uid), *groups.map(&:gid)].grep_v(/\A\d{1,10}\z/)
      [
        *repeated('user name', users.map(&:name)), *repeated('user id', users.map(&:uid)),
        *repeated('group name', groups.map(&:name)), *repeated('group id', groups.map(&:gid)),
        *numbers.map { |text| "#{text} is no id" },
        *users.reject { |user| groups.any? { |group| group.gid == user.gid } }
              .map { |user| "the primary group #{user.gid} of #{user.name} is not in /etc/group" },
        *groups.flat_map { |group| (group.members || '').split(',').map { |member| [group, member] } }
               .reject { |_, member| users.any? { |user| user.name == member } }
               .map { |group, member| "#{member}, in group #{group.name}, is not in /etc/passwd" },
        *(shadow.map(&:name) - users.map(&:name)).map { |name| "#{name} is in /etc/shadow only" },
        *shadow_lacks, *@malformed
      ]
    end

    def other_superusers
      users.select { |user| user.uid.match?(/\A0+\z/) && user.name != 'root' }.map(&:name)
    end

    # What can be logged in with: empty passwords, and hashes wherever they are.
    def passwords
      in_passwd = users.reject { |user| user.password == 'x' }.map { |user| [user, '/etc/passwd'] }
      [*in_passwd, *shadow.map { |entry| [entry, '/etc/shadow'] }].filter_map do |entry, file|
        next if entry.password&.start_with?('!', '*')

        kind = entry.password.to_s.empty? ? 'an empty password' : 'a password'
        "#{entry.name} has #{kind} in #{file}"
      end
    end

    # An empty shell field means /bin/sh, passwd(5).
    def login_shells
      users.filter_map do |user|
        shell = user.shell.to_s.empty? ? '/bin/sh' : user.shell
        next if NO_LOGIN.include?(::File.basename(shell))

        about = @root.stat(shell)
        "#{user.name} logs in with #{shell}" if about&.file? && about.mode.anybits?(0o111)
      end
    end

    private

    def rows(path, fields)
      text = @root.read(path) or return []
      text.each_line(chomp: true).reject { |line| line.empty? || line.start_with?('#') }.filter_map do |line|
        row = line.split(':', -1)
        next row if row.size == fields

        @malformed << "#{path} has a line of #{row.size} fields, not #{fields}"
        nil
      end
    end

    def repeated(kind, values)
      values.tally.select { |_, count| count > 1 }.map { |value, count| "#{kind} #{value} is there #{count} times" }
    end

    def shadow_lacks
      return [] if @root.stat('/etc/shadow').nil?

      users.select { |user| user.password == 'x' && shadow.none? { |entry| entry.name == user.name } }
           .map { |user| "#{user.name} has no line in /etc/shadow" }
    end
  end
end
