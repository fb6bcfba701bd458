#include "router/service.h"

#include <vector>

#include "gtest/gtest.h"

namespace spillway {
namespace {

const std::vector<std::string> kServices = {"smollm2-135m-instruct", "Qwen3-0.6B"};

TEST(ResolveService, AnEmptyNameMeansTheFirst) {
  EXPECT_EQ(*ResolveService("", kServices), "smollm2-135m-instruct");
}

TEST(ResolveService, TakesTheNameAndItsUsualSpellings) {
  for (const char* model :
       {"smollm2-135m-instruct", "SmolLM2-135M-Instruct", "HuggingFaceTB/SmolLM2-135M-Instruct",
        "smollm2_135m_instruct:latest", "SmolLM2 135M Instruct"}) {
    EXPECT_EQ(*ResolveService(model, kServices), "smollm2-135m-instruct") << model;
  }
  EXPECT_EQ(*ResolveService("qwen3-0.6b", kServices), "Qwen3-0.6B");
}

TEST(ResolveService, TheVeryNameGoesBeforeAnAlias) {
  const std::vector<std::string> services = {"tiny", "Tiny"};
  EXPECT_EQ(*ResolveService("Tiny", services), "Tiny");
  EXPECT_EQ(*ResolveService("TINY", services), "tiny");
}

TEST(CheckModelOfService, ItsOwnModelOrNone) {
  EXPECT_TRUE(CheckModelOfService("", "tiny").ok());
  EXPECT_TRUE(CheckModelOfService("Tiny:latest", "tiny").ok());
  const absl::Status other = CheckModelOfService("small", "tiny");
  EXPECT_EQ(other.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(other.message()), "model \"small\" not found; this service has: tiny");
}

TEST(ResolveService, SaysWhatThereIs) {
  const absl::StatusOr<std::string> service = ResolveService("qwen", kServices);
  EXPECT_EQ(service.status().code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(std::string(service.status().message()),
            "model \"qwen\" not found; this server has: smollm2-135m-instruct, Qwen3-0.6B");
}

TEST(ResolveService, RepeatsOnlyTheBeginningOfALongName) {
  const absl::StatusOr<std::string> service = ResolveService(std::string(10'000, 'x'), kServices);
  EXPECT_LT(service.status().message().size(), 250u);
}

}  // namespace
}  // namespace spillway
