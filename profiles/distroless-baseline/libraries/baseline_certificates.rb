# frozen_string_literal: true

require 'openssl'
require 'baseline_root'

module Baseline
  # A bundle of certificates in PEM, RFC 7468.
  class Certificates
    BLOCK = /-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----/mn
    MAX_BUNDLE = 16 * 1024 * 1024

    def initialize(root, path)
      @root = root
      @path = path
    end

    def present?
      !text.nil?
    end

    # Findings about the bundle as such: that it is there, holds something, and every block is a certificate.
    def faults
      return ["#{@path} does not exist"] unless present?
      return ["#{@path} holds no certificate"] if blocks.empty?

      broken = blocks.each_index.select { |index| parsed[index].nil? }
      starts = text.scan('-----BEGIN CERTIFICATE-----').size
      faults = broken.map { |index| "block #{index + 1} of #{@path} is no certificate" }
      faults << "#{@path} has #{starts - blocks.size} blocks without an end" if starts > blocks.size
      faults
    end

    def expired(now = ::Time.now)
      parsed.compact.select { |certificate| certificate.not_after < now }.map do |certificate|
        "#{common_name(certificate)} expired on #{certificate.not_after.utc.strftime('%Y-%m-%d')}"
      end
    end

    private

    def text
      return @text if defined?(@text)

      @text = @root.read(@path, MAX_BUNDLE)
    end

    def blocks
      @blocks ||= (text || '').scan(BLOCK)
    end

    def parsed
      @parsed ||= blocks.map do |block|
        ::OpenSSL::X509::Certificate.new(block)
      rescue ::OpenSSL::X509::CertificateError
        nil
      end
    end

    def common_name(certificate)
      names = certificate.subject.to_a
      (names.reverse.find { |field, *| %w[CN OU O].include?(field) } || names.last || ['', '?'])[1]
    end
  end
end
