#include "router/providers/provider_error.h"

#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "gtest/gtest.h"
#include "router/providers/provider_table.h"

namespace spillway {
namespace {

using enum ProviderAction;
using Json = nlohmann::json;

ErrorVerdict Judge(int http_status, const std::string& body,
                   std::string_view provider = "bailian") {
  return JudgeProviderError(FindProvider(provider)->errors, ReadProviderError(http_status, body));
}

struct Expected {
  ProviderAction action;
  std::string_view reason;
};

// What is to be done about each row of tests/support/bailian_errors.json, which is the reference's
// table, by its name in DashScope's spelling.
const std::map<std::string, Expected> kExpected = {
    {"InvalidParameter", {kPassOn, "invalid_request"}},
    {"InternalError.Algo.InvalidParameter", {kPassOn, "invalid_request"}},
    {"BadRequest.EmptyInput", {kPassOn, "invalid_request"}},
    {"BadRequest.EmptyParameters", {kPassOn, "invalid_request"}},
    {"BadRequest.EmptyModel", {kPassOn, "invalid_request"}},
    {"BadRequest.TooLarge", {kPassOn, "invalid_request"}},
    {"InvalidURL", {kPassOn, "invalid_request"}},
    {"UnsupportedOperation", {kPassOn, "invalid_request"}},
    {"ClientDisconnect", {kPassOn, "invalid_request"}},
    {"FlowNotPublished", {kPassOn, "invalid_request"}},
    {"DataInspectionFailed", {kContentFilter, "content_filter"}},
    {"InternalError.Algo.DataInspectionFailed", {kContentFilter, "content_filter"}},
    {"IPInfringementSuspect", {kContentFilter, "content_filter"}},
    {"CustomRoleBlocked", {kContentFilter, "content_filter"}},
    {"FaqRuleBlocked", {kContentFilter, "content_filter"}},
    {"Arrearage", {kBlockKey, "billing"}},
    {"PrepaidBillOverdue", {kBlockKey, "billing"}},
    {"PostpaidBillOverdue", {kBlockKey, "billing"}},
    {"CommodityNotPurchased", {kBlockModel, "billing"}},
    {"AccessDenied.Unpurchased", {kBlockModel, "billing"}},
    {"AllocationQuota.FreeTierOnly", {kBlockModel, "billing"}},
    {"FreeQuotaSpent", {kBlockModel, "billing"}},
    {"InvalidApiKey", {kBlockKey, "credentials"}},
    {"NOT AUTHORIZED", {kBlockKey, "credentials"}},
    {"TokenExpired", {kBlockKey, "credentials"}},
    {"Workspace.AccessDenied", {kBlockKey, "credentials"}},
    {"WorkSpaceNotFound", {kBlockKey, "credentials"}},
    {"AccessDenied", {kBlockModel, "model_denied"}},
    {"Model.AccessDenied", {kBlockModel, "model_denied"}},
    {"App.AccessDenied", {kBlockModel, "model_denied"}},
    {"ModelNotFound", {kBlockModel, "model_not_found"}},
    {"ModelNotSupported", {kBlockModel, "model_not_found"}},
    {"NotFound", {kBlockModel, "model_not_found"}},
    {"Throttling", {kBackOff, "throttled"}},
    {"Throttling.RateQuota", {kBackOff, "throttled"}},
    {"Throttling.BurstRate", {kBackOff, "throttled"}},
    {"Throttling.AllocationQuota", {kBackOff, "throttled"}},
    {"LimitRequests", {kBackOff, "throttled"}},
    {"ModelServingError", {kBackOff, "provider_busy"}},
    {"ModelUnavailable", {kBackOff, "provider_busy"}},
    {"RequestTimeOut", {kGiveUp, "provider_timeout"}},
    {"InternalError", {kTryAgain, "provider_failed"}},
    {"InternalError.Algo", {kTryAgain, "provider_failed"}},
    {"InternalError.Timeout", {kTryAgain, "provider_failed"}},
    {"SystemError", {kTryAgain, "provider_failed"}},
    {"ModelServiceFailed", {kTryAgain, "provider_failed"}},
    {"ResponseTimeout", {kTryAgain, "provider_failed"}},
    {"InvokePluginFailed", {kTryAgain, "provider_failed"}},
    {"AppProcessFailed", {kTryAgain, "provider_failed"}},
    {"RewriteFailed", {kTryAgain, "provider_failed"}},
    {"RetrievalFailed", {kTryAgain, "provider_failed"}},
};

TEST(ProviderErrorTest, EveryErrorOfBailianInBothItsSpellings) {
  std::ifstream file(SPILLWAY_SOURCE_DIR "/tests/support/bailian_errors.json");
  const Json rows = Json::parse(file);
  std::set<std::string> seen;
  for (const Json& row : rows) {
    const std::string name = row.value("name", row["native"].is_null() ? "" : row["native"]);
    SCOPED_TRACE(name);
    ASSERT_TRUE(kExpected.contains(name));
    seen.insert(name);
    const Expected& expected = kExpected.at(name);
    const Json compatible = {{"error",
                              {{"message", row["message"]},
                               {"type", row["type"]},
                               {"param", nullptr},
                               {"code", row["compatible"]}}},
                             {"request_id", "r-1"}};
    const Json native = {{"code", row["native"].is_null() ? row["compatible"] : row["native"]},
                         {"message", row["message"]},
                         {"request_id", "r-1"}};
    for (const Json& body : {compatible, native}) {
      const ErrorVerdict verdict = Judge(row["status"], body.dump());
      EXPECT_EQ(verdict.action, expected.action) << body;
      EXPECT_EQ(verdict.reason, expected.reason) << body;
      EXPECT_EQ(verdict.alert, expected.action == kBlockKey || expected.action == kBlockModel);
      EXPECT_EQ(ReadProviderError(row["status"], body.dump()).request_id, "r-1");
    }
  }
  EXPECT_EQ(seen.size(), kExpected.size());
}

TEST(ProviderErrorTest, TheCodeDecidesAndNotTheStatus) {
  EXPECT_EQ(Judge(429, R"({"code":"PrepaidBillOverdue"})").action, kBlockKey);
  EXPECT_EQ(Judge(400, R"({"code":"Arrearage"})").action, kBlockKey);
  EXPECT_EQ(Judge(429, R"({"error":{"code":"insufficient_quota"}})").action, kBackOff);
  EXPECT_EQ(Judge(403, R"({"error":{"code":"insufficient_quota"}})").action, kBlockModel);
  EXPECT_EQ(Judge(429, R"({"error":{"code":"insufficient_quota"}})", "generic").action, kBlockKey)
      << "at OpenAI it is an account without money";
  EXPECT_EQ(Judge(500, R"({"code":"arrearage"})").action, kBlockKey) << "case doesn't count";
  EXPECT_EQ(Judge(429, R"({"code":"Throttling.OfTomorrow"})").reason, "throttled");
}

TEST(ProviderErrorTest, ErrorsInOtherClothes) {
  // A frame of a stream as the body of a 4xx that says it were JSON.
  EXPECT_EQ(Judge(429,
                  "id:1\nevent:error\n:HTTP_STATUS/429\n"
                  "data:{\"code\":\"Throttling.RateQuota\",\"message\":\"m\"}\n\n")
                .action,
            kBackOff);
  // All within `error`, as some proxies hand it on.
  const std::string nested =
      R"({"error":{"message":"<400> InternalError.Algo.DataInspectionFailed: x",)"
      R"("type":"data_inspection_failed","param":null,"code":"data_inspection_failed",)"
      R"("request_id":"r-2"}})";
  EXPECT_EQ(Judge(400, nested).action, kContentFilter);
  EXPECT_EQ(ReadProviderError(400, nested).request_id, "r-2");
  // A code that is the status over again says nothing; the type does.
  const std::string vllm =
      R"({"object":"error","message":"no such model","type":"NotFoundError","param":null,"code":404})";
  EXPECT_EQ(ReadProviderError(404, vllm).code, "404");
  EXPECT_EQ(Judge(404, vllm, "generic").reason, "model_not_found");
  EXPECT_EQ(ReadProviderError(500, R"({"error":"out of memory"})").message, "out of memory");
}

TEST(ProviderErrorTest, WithoutAKnownCodeTheStatusDecides) {
  const std::map<int, ProviderAction> expected = {
      {0, kTryAgain},     {400, kPassOn},   {401, kBlockKey}, {402, kBlockKey}, {403, kBlockModel},
      {404, kBlockModel}, {405, kPassOn},   {408, kGiveUp},   {413, kPassOn},   {422, kPassOn},
      {429, kBackOff},    {500, kTryAgain}, {502, kTryAgain}, {503, kBackOff},  {504, kGiveUp},
      {529, kBackOff},    {302, kTryAgain}};
  for (const auto& [status, action] : expected) {
    for (const char* body : {"", "<html>Bad Gateway</html>", R"({"error":{"code":"New.One"}})",
                             "[1]", "{", "data: x\n\n", R"({"error":null})"}) {
      EXPECT_EQ(Judge(status, body).action, action) << status << " " << body;
      EXPECT_EQ(Judge(status, body, "generic").action, action) << status << " " << body;
    }
  }
}

TEST(ProviderErrorTest, AMessageThatQuotesACodeBlocksNobody) {
  EXPECT_EQ(Judge(400, R"({"code":"InvalidParameter","message":"<400> Arrearage: x"})").action,
            kPassOn);
  EXPECT_EQ(Judge(400, R"({"code":"InvalidParameter","message":"Arrearage"})").action, kPassOn);
  EXPECT_EQ(Judge(500, R"({"code":"InternalError",)"
                       R"("message":"<500> InternalError.Algo.New: x"})")
                .action,
            kTryAgain);
}

TEST(ProviderErrorTest, TextsAreCutAndAnyDepthIsBorne) {
  const std::string long_text(kProviderTextBytesMax + 1, 'x');
  EXPECT_EQ(ReadProviderError(400, R"({"message":")" + long_text + "\"}").message.size(),
            kProviderTextBytesMax);
  const std::string deep = std::string(100000, '[') + std::string(100000, ']');
  EXPECT_EQ(Judge(400, R"({"code":"Arrearage","x":)" + deep + "}").action, kBlockKey);
}

TEST(ProviderTableTest, RowsAreFoundAndWhole) {
  EXPECT_EQ(FindProvider("nobody"), nullptr);
  for (const ProviderRow& provider : ProviderTable()) {
    EXPECT_EQ(FindProvider(provider.name), &provider);
    EXPECT_EQ(provider.models.back().pattern, "*");
    for (const ProviderErrorRow& row : provider.errors) {
      const ErrorVerdict verdict = JudgeProviderError(
          provider.errors, {.http_status = row.http_status, .code = std::string(row.code)});
      EXPECT_EQ(verdict.action, row.action) << row.code << " is hidden by a row before it";
    }
  }
}

TEST(ProviderTableTest, HowModelsThink) {
  const auto mode = [](std::string_view model) {
    return FindModelRow(*FindProvider("bailian"), model).thinking;
  };
  EXPECT_EQ(mode("deepseek-v3.2-exp"), ThinkingMode::kOffByDefault);
  EXPECT_EQ(mode("deepseek-v3"), ThinkingMode::kNever);
  EXPECT_EQ(mode("DeepSeek-R1-0528"), ThinkingMode::kAlways);
  EXPECT_EQ(mode("deepseek-r1-distill-qwen-1.5b"), ThinkingMode::kAlways);
  EXPECT_EQ(mode("qwen3-32b"), ThinkingMode::kOnByDefault);
  EXPECT_EQ(mode("qwen3-max-preview"), ThinkingMode::kOffByDefault);
  EXPECT_EQ(mode("qwen-plus"), ThinkingMode::kOffByDefault);
  EXPECT_TRUE(FindModelRow(*FindProvider("bailian"), "qwq-plus").stream_only);
}

}  // namespace
}  // namespace spillway
