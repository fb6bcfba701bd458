#include "server/auth/authenticator.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "common/check.h"
#include "server/auth/eas_signature.h"
#include "server/auth/token.h"

namespace spillway {
namespace {

constexpr char kFixedName[] = "default";
constexpr size_t kTokenBytesMax = 1024;  // longer ones are not worth hashing
// A digest's prefix finds its candidates; it tells nothing of a token that hashes to it.
constexpr size_t kPrefixDigits = 8;

std::string_view Prefix(std::string_view sha256_hex) { return sha256_hex.substr(0, kPrefixDigits); }

}  // namespace

Authenticator::Authenticator(const std::vector<std::string>& fixed_sha256_hex, const Clock& clock)
    : clock_(clock), fixed_account_(std::make_shared<TokenAccount>(kFixedName, kFixedName, clock)) {
  SetFixed(fixed_sha256_hex);
}

void Authenticator::SetPast(const std::map<std::string, PastUse>& past) { past_ = past; }

void Authenticator::SetFixed(const std::vector<std::string>& fixed_sha256_hex) {
  fixed_.clear();
  for (const std::string& hash : fixed_sha256_hex) {
    CHECK(IsSha256Hex(hash));
    fixed_.push_back({absl::AsciiStrToLower(hash),
                      {.name = kFixedName, .token_name = kFixedName, .account = fixed_account_}});
  }
  Publish();
}

void Authenticator::Update(const std::vector<TokenRecord>& tokens) {
  stored_.clear();
  Accounts live;
  for (const TokenRecord& token : tokens) {
    if (token.revoked) continue;
    const Tenant tenant = TenantOf(token);
    live[token.id] = tenant.account;
    stored_.push_back({token.sha256_hex, tenant, token.eas_key});
    if (token.previous_sha256_hex.empty() || !token.previous_until) continue;
    stored_.push_back({token.previous_sha256_hex, tenant, token.previous_eas_key});
    std::optional<absl::Time>& expires = stored_.back().tenant.expires;
    expires = std::min(expires.value_or(absl::InfiniteFuture()), *token.previous_until);
  }
  accounts_ = std::move(live);
  Publish();
}

Tenant Authenticator::TenantOf(const TokenRecord& token) {
  std::shared_ptr<TokenAccount>& account = accounts_[token.id];
  if (account == nullptr) {
    account = std::make_shared<TokenAccount>(token.id, token.name, clock_);
    if (const auto past = past_.find(token.id); past != past_.end()) {
      account->AddPast(past->second.requests, past->second.tokens);
      past_.erase(past);
    }
  }
  account->SetLimits(token.limits);
  Tenant tenant = {
      .name = token.tenant, .token_name = token.name, .account = account, .expires = token.expires};
  if (token.networks.empty()) return tenant;
  auto networks = std::make_shared<std::vector<IpNetwork>>();
  for (const std::string& text : token.networks) {
    // What can't be read, which the command line lets nobody write, lets nobody in.
    if (const auto network = IpNetwork::Parse(text); network.ok()) networks->push_back(*network);
  }
  tenant.networks = std::move(networks);
  return tenant;
}

void Authenticator::Publish() {
  auto entries = std::make_shared<Entries>(fixed_);
  entries->insert(entries->end(), stored_.begin(), stored_.end());
  std::sort(entries->begin(), entries->end(),
            [](const Entry& a, const Entry& b) { return a.sha256_hex < b.sha256_hex; });
  MutexLock lock(mutex_);
  entries_ = std::move(entries);
}

std::optional<Tenant> Authenticator::Check(std::string_view token) const {
  if (token.empty() || token.size() > kTokenBytesMax) return std::nullopt;
  const std::string hash = Sha256Hex(token);
  const std::shared_ptr<const Entries> entries = Snapshot();
  auto entry = std::lower_bound(entries->begin(), entries->end(), Prefix(hash),
                                [](const Entry& candidate, std::string_view prefix) {
                                  return Prefix(candidate.sha256_hex) < prefix;
                                });
  for (; entry != entries->end() && Prefix(entry->sha256_hex) == Prefix(hash); ++entry) {
    if (entry->sha256_hex.size() == hash.size() &&
        CRYPTO_memcmp(entry->sha256_hex.data(), hash.data(), hash.size()) == 0) {
      return entry->tenant;
    }
  }
  return std::nullopt;
}

std::optional<Tenant> Authenticator::CheckEasSignature(
    std::string_view signature, std::span<const std::string> signed_texts) const {
  for (const Entry& entry : *Snapshot()) {
    if (!IsEasKey(entry.eas_key)) continue;
    for (const std::string& text : signed_texts) {
      if (IsEasSignature(signature, entry.eas_key, text)) return entry.tenant;
    }
  }
  return std::nullopt;
}

bool Authenticator::empty() const { return Snapshot()->empty(); }

std::shared_ptr<const Authenticator::Entries> Authenticator::Snapshot() const {
  MutexLock lock(mutex_);
  return entries_;
}

}  // namespace spillway
