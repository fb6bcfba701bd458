#include "server/auth/request_gate.h"

#include <string>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "server/auth/eas_signature.h"
#include "server/auth/token.h"
#include "tests/support/manual_clock.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

using Headers = std::vector<std::pair<std::string_view, std::string_view>>;

class RequestGateTest : public ::testing::Test {
 protected:
  RequestGateTest() {
    authenticator_.Update({MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch())});
  }

  // 0 when the request may go on.
  int Status(ListenerTraits listener, Headers headers, TokenRule rule = TokenRule::kAlways,
             const std::string& client_address = "127.0.0.1", bool from_trusted_proxy = false) {
    request_ = HttpRequest();
    request_.client_address = client_address;
    request_.from_trusted_proxy = from_trusted_proxy;
    request_.listener = listener;
    request_.headers = std::move(headers);
    request_.method = "POST";
    request_.path = path_;
    request_.query = query_;
    if (!service_path_.empty()) request_.service = "svc";
    request_.path_of_service = service_path_;
    const std::optional<HttpResponse> refusal = gate_(request_, rule);
    body_ = refusal ? refusal->body : "";
    headers_ = refusal ? refusal->headers : std::vector<HttpHeader>();
    return refusal ? refusal->status : 0;
  }

  static constexpr ListenerTraits kWithToken = {.token_required = true, .loopback = true};
  static constexpr ListenerTraits kPublic = {.token_required = true, .loopback = false};
  static constexpr ListenerTraits kLocal = {.token_required = false, .loopback = true};
  static constexpr ListenerTraits kOpen = {.token_required = false, .loopback = false};

  ManualClock clock_;
  Authenticator authenticator_{{}, clock_};
  FailureLimiter failures_{{.failures_per_minute = 5}};
  RequestGate gate_ = MakeRequestGate(
      authenticator_, failures_, clock_,
      [](int status, std::string_view code, std::string_view message) {
        return HttpResponse{.status = status,
                            .headers = {},
                            .body = std::string(code) + ": " + std::string(message)};
      });
  HttpRequest request_;
  std::string path_ = "/v1/models";
  std::string query_;
  std::string service_path_;
  std::string body_;
  std::vector<HttpHeader> headers_;
};

TEST_F(RequestGateTest, ATokenThatHasExpiredSaysSo) {
  TokenRecord token = MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch());
  token.expires = clock_.WallNow() + absl::Seconds(1);
  authenticator_.Update({token});
  EXPECT_EQ(Status(kWithToken, {{"authorization", "Bearer secret"}}), 0);
  clock_.Advance(absl::Seconds(1));
  EXPECT_EQ(Status(kWithToken, {{"authorization", "Bearer secret"}}), 401);
  EXPECT_THAT(body_, HasSubstr("was valid until 2023-11-14 22:13 UTC"));
}

TEST_F(RequestGateTest, ATokenStaysInItsNetworks) {
  TokenRecord token = MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch());
  token.networks = {"10.0.0.0/8"};
  authenticator_.Update({token});
  const Headers headers = {{"authorization", "Bearer secret"}};
  EXPECT_EQ(Status(kPublic, headers, TokenRule::kAlways, "10.1.2.3"), 0);
  EXPECT_EQ(Status(kPublic, headers, TokenRule::kAlways, "11.1.2.3"), 403);
  EXPECT_THAT(body_, HasSubstr("network_not_allowed: token \"laptop\" may not be used from 11."));
}

TEST_F(RequestGateTest, ATokenThatMayTakesSignaturesInItsPlace) {
  TokenRecord signer = MakeTokenRecord("sk-test", "eas", "bob", absl::UnixEpoch());
  signer.eas_key = EasKey("sk-test");
  TokenRecord other = MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch());
  authenticator_.Update({other, signer});
  // Of what eas_signature_test.cc has.
  const Headers headers = {{"Authorization", "EAS EWPuqQqv8Z+GyuuDVarPTDU7cPE="},
                           {"Content-MD5", "d41d8cd98f00b204e9800998ecf8427e"},
                           {"Content-Type", "application/octet-stream"},
                           {"Date", "Sat, 21 Nov 2026 10:00:00 GMT"}};
  path_ = "/api/predict/svc";
  EXPECT_EQ(Status(kPublic, headers), 0);
  EXPECT_EQ(request_.token_name, "eas");
  path_ = "/api/predict/svd";
  EXPECT_EQ(Status(kPublic, headers), 401);

  path_ = "/api/predict/svc";
  signer.eas_key = "";
  authenticator_.Update({other, signer});
  EXPECT_EQ(Status(kPublic, headers), 401) << "it may not sign";
}

TEST_F(RequestGateTest, ASignatureIsOfThePathAsItWasAskedWithOrWithoutItsQuery) {
  TokenRecord signer = MakeTokenRecord("sk-test", "eas", "bob", absl::UnixEpoch());
  signer.eas_key = EasKey("sk-test");
  authenticator_.Update({signer});
  // hmac.new(b"sk-test", b"POST\n\n\n\n/api/predict/svc?a=b", hashlib.sha1), and without the query.
  path_ = "/api/predict";
  service_path_ = "/api/predict/svc";
  query_ = "a=b";
  EXPECT_EQ(Status(kPublic, {{"Authorization", "EAS Ie1LsfJZOsSIB7Q73dJi9jwAUX4="}}), 0);
  EXPECT_EQ(Status(kPublic, {{"Authorization", "EAS j4BCjdW6nmpd/+vg26mOwZJjlqs="}}), 0);
  query_ = "a=c";
  EXPECT_EQ(Status(kPublic, {{"Authorization", "EAS Ie1LsfJZOsSIB7Q73dJi9jwAUX4="}}), 401);
}

TEST_F(RequestGateTest, AnswersTellWhatIsLeftOfALimit) {
  TokenRecord token = MakeTokenRecord("secret", "laptop", "alice", absl::UnixEpoch());
  authenticator_.Update({token});
  EXPECT_EQ(Status(kWithToken, {{"authorization", "Bearer secret"}}), 0);
  EXPECT_FALSE(request_.add_headers);
  token.limits = {.requests_per_minute = 60, .tokens_per_minute = 1000};
  authenticator_.Update({token});
  EXPECT_EQ(Status(kWithToken, {{"authorization", "Bearer secret"}}), 0);
  QuotaReservation reservation;
  ASSERT_EQ(request_.account->Reserve({.prompt_tokens = 250}, reservation), std::nullopt);
  std::vector<HttpHeader> headers;
  request_.add_headers(headers);
  std::string told;
  for (const HttpHeader& header : headers) told += header.name + "=" + header.value + " ";
  EXPECT_EQ(told,
            "x-ratelimit-limit-requests=60 x-ratelimit-remaining-requests=59 "
            "x-ratelimit-reset-requests=1m1s x-ratelimit-limit-tokens=1000 "
            "x-ratelimit-remaining-tokens=750 x-ratelimit-reset-tokens=1m1s ");
}

TEST_F(RequestGateTest, TakesTheTokenAsClientsSendIt) {
  EXPECT_EQ(Status(kWithToken, {{"authorization", "Bearer secret"}}), 0);
  EXPECT_EQ(request_.tenant, "alice");
  EXPECT_EQ(request_.token_name, "laptop");
  EXPECT_EQ(Status(kWithToken, {{"Authorization", "bearer secret"}}), 0);
  EXPECT_EQ(Status(kWithToken, {{"Authorization", "secret"}}), 0);
  EXPECT_EQ(Status(kWithToken, {{"X-Api-Key", "secret"}}), 0);
}

TEST_F(RequestGateTest, RefusesOthersWithAHint) {
  EXPECT_EQ(Status(kWithToken, {}), 401);
  EXPECT_THAT(body_, HasSubstr("invalid_api_key: a token is needed"));
  EXPECT_EQ(Status(kWithToken, {{"Authorization", "Bearer wrong"}}), 401);
  // litellm takes a 401 of OpenAI's type for a bad request unless it has OpenAI's words.
  EXPECT_THAT(body_, HasSubstr("Incorrect API key provided"));
  EXPECT_EQ(Status(kWithToken, {{"Authorization", "Bearer "}}), 401);
  authenticator_.Update({});
  EXPECT_EQ(Status(kWithToken, {{"Authorization", "Bearer secret"}}), 401);
  EXPECT_THAT(body_, HasSubstr("spillway token create"));
}

TEST_F(RequestGateTest, ProbesNeedNoTokenAndMetricsNoneOnLoopback) {
  EXPECT_EQ(Status(kPublic, {}, TokenRule::kNever), 0);
  EXPECT_EQ(Status(kWithToken, {}, TokenRule::kUnlessLoopback), 0);
  EXPECT_EQ(Status(kPublic, {}, TokenRule::kUnlessLoopback), 401);
  EXPECT_EQ(Status(kWithToken, {{"X-Forwarded-For", "1.2.3.4"}}, TokenRule::kUnlessLoopback), 401);
}

TEST_F(RequestGateTest, LocalListenerWithoutTokenTrustsOnlyThisMachine) {
  for (const char* host :
       {"localhost:8080", "LOCALHOST", "127.0.0.1:8080", "127.1.2.3", "[::1]:80"}) {
    EXPECT_EQ(Status(kLocal, {{"Host", host}}), 0) << host;
    EXPECT_EQ(request_.tenant, "local");
  }
  for (const char* host :
       {"evil.example", "127.evil.example", "localhost.evil.example", "10.0.0.1"}) {
    EXPECT_EQ(Status(kLocal, {{"Host", host}}), 403) << host;
  }
  EXPECT_EQ(Status(kLocal, {{"Host", "localhost"}, {"Origin", "http://localhost:3000"}}), 0);
  EXPECT_EQ(Status(kLocal, {{"Host", "localhost"}, {"Origin", "https://evil.example"}}), 403);
  EXPECT_EQ(Status(kLocal, {{"Host", "localhost"}, {"Origin", "null"}}), 403);
  EXPECT_EQ(Status(kLocal, {{"Host", "localhost"}, {"X-Forwarded-For", "1.2.3.4"}}), 403);
}

TEST_F(RequestGateTest, OpenListenerIsOpenButNotThroughAProxyThatNobodyNamed) {
  EXPECT_EQ(Status(kOpen, {{"Host", "anything.example"}}), 0);
  for (const char* name : {"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP"}) {
    EXPECT_EQ(Status(kOpen, {{name, "1.2.3.4"}}), 403) << name;
  }
  const Headers forwarded = {{"Host", "localhost"}, {"X-Forwarded-For", "1.2.3.4"}};
  EXPECT_EQ(Status(kOpen, forwarded, TokenRule::kAlways, "1.2.3.4", /*from_trusted_proxy=*/true),
            0);
  EXPECT_EQ(Status(kLocal, forwarded, TokenRule::kAlways, "1.2.3.4", /*from_trusted_proxy=*/true),
            403);
  EXPECT_EQ(Status(kOpen, {{"X-Forwarded-For", "1.2.3.4"}}, TokenRule::kNever), 0);
}

TEST_F(RequestGateTest, GuessersWaitAndOthersDoNot) {
  const auto status = [&](const char* token, const char* address) {
    return Status(kPublic, {{"Authorization", token}}, TokenRule::kAlways, address);
  };
  EXPECT_EQ(status("secret", "1.1.1.1"), 0);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(status("guess", "1.1.1.1"), 401);
  EXPECT_EQ(status("guess", "1.1.1.1"), 429);
  ASSERT_EQ(headers_.size(), 2u);
  EXPECT_EQ(headers_[0].name, "Retry-After");
  EXPECT_EQ(headers_[0].value, "12");
  EXPECT_EQ(status("secret", "1.1.1.1"), 0);
  // Not even the right token is looked at where nobody had it before.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(status("guess", "2.2.2.2"), 401);
  EXPECT_EQ(status("secret", "2.2.2.2"), 429);
  EXPECT_EQ(status("secret", "3.3.3.3"), 0);
  clock_.Advance(absl::Seconds(12));
  EXPECT_EQ(status("secret", "2.2.2.2"), 0);
  // Sending none is no guess.
  for (int i = 0; i < 9; ++i) EXPECT_EQ(status("", "4.4.4.4"), 401);
}

}  // namespace
}  // namespace spillway
