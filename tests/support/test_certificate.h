#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <cstdio>
#include <memory>
#include <string>

#include "common/check.h"

namespace spillway {

// Writes a self-signed certificate for "localhost" with a new key. `common_name` tells certificates
// apart.
inline void WriteTestCertificate(const std::string& certificate_path, const std::string& key_path,
                                 const std::string& common_name = "localhost") {
  const std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)> key(::EVP_EC_gen("P-256"),
                                                                  ::EVP_PKEY_free);
  CHECK(key != nullptr);
  const std::unique_ptr<X509, decltype(&::X509_free)> certificate(::X509_new(), ::X509_free);
  ::X509_set_version(certificate.get(), X509_VERSION_3);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), 1);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), 0);
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), 3600);
  ::X509_set_pubkey(certificate.get(), key.get());
  X509_NAME* name = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.c_str()), -1, -1,
                               0);
  ::X509_set_issuer_name(certificate.get(), name);
  CHECK(::X509_sign(certificate.get(), key.get(), ::EVP_sha256()) > 0);
  std::FILE* file = std::fopen(certificate_path.c_str(), "w");
  CHECK(file != nullptr);
  CHECK(::PEM_write_X509(file, certificate.get()) == 1);
  std::fclose(file);
  file = std::fopen(key_path.c_str(), "w");
  CHECK(file != nullptr);
  CHECK(::PEM_write_PrivateKey(file, key.get(), nullptr, nullptr, 0, nullptr, nullptr) == 1);
  std::fclose(file);
}

}  // namespace spillway
