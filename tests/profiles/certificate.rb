# frozen_string_literal: true

# Prints a self-signed certificate in PEM: NAME DAYS-UNTIL-IT-ENDS
require 'openssl'

name = OpenSSL::X509::Name.parse("/CN=#{ARGV[0]}")
key = OpenSSL::PKey::EC.generate('prime256v1')
certificate = OpenSSL::X509::Certificate.new
certificate.version = 2
certificate.serial = 1
certificate.subject = certificate.issuer = name
certificate.public_key = key
certificate.not_before = Time.now - (365 * 86_400)
certificate.not_after = Time.now + (ARGV[1].to_i * 86_400)
certificate.sign(key, OpenSSL::Digest.new('SHA256'))
print certificate.to_pem
