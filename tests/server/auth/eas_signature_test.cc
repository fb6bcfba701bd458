#include "server/auth/eas_signature.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

// hmac.new(b"sk-test", TEXT, hashlib.sha1) in Python, in base64.
constexpr char kText[] =
    "POST\nd41d8cd98f00b204e9800998ecf8427e\napplication/octet-stream\n"
    "Sat, 21 Nov 2026 10:00:00 GMT\n/api/predict/svc";
constexpr char kSignature[] = "EWPuqQqv8Z+GyuuDVarPTDU7cPE=";

TEST(EasSignature, SignsWhatTheSdksSign) {
  EXPECT_EQ(EasSignedText("POST", "d41d8cd98f00b204e9800998ecf8427e", "application/octet-stream",
                          "Sat, 21 Nov 2026 10:00:00 GMT", "/api/predict/svc"),
            kText);
}

TEST(EasSignature, KnowsTheSignatureByTheKeyAlone) {
  const std::string key = EasKey("sk-test");
  EXPECT_TRUE(IsEasKey(key));
  EXPECT_TRUE(IsEasSignature(kSignature, key, kText));
  // A key of more than a block is hashed first (RFC 2104, section 2).
  EXPECT_TRUE(IsEasSignature("CMS6ehWLrhrTQoT0gxoQudPUu9s=", EasKey(std::string(100, 'k')),
                             "POST\n\n\n\n/"));
}

TEST(EasSignature, EveryOtherKeyTextAndSignatureIsWrong) {
  const std::string key = EasKey("sk-test");
  EXPECT_FALSE(IsEasSignature(kSignature, EasKey("sk-tesu"), kText));
  EXPECT_FALSE(IsEasSignature(kSignature, key, std::string(kText) + "/"));
  EXPECT_FALSE(IsEasSignature("FWPuqQqv8Z+GyuuDVarPTDU7cPE=", key, kText));
  for (const char* nonsense : {"", "=", "EWPuqQqv8Z+GyuuDVarPTDU7cA==", "not base64!"}) {
    EXPECT_FALSE(IsEasSignature(nonsense, key, kText)) << nonsense;
  }
}

TEST(EasSignature, TheKeyDoesNotHoldTheToken) {
  EXPECT_EQ(EasKey("sk-test").find("736b2d"), std::string::npos);  // "sk-" in hex
  EXPECT_FALSE(IsEasKey(""));
  EXPECT_FALSE(IsEasKey(std::string(80, 'g')));
  EXPECT_FALSE(IsEasKey(std::string(79, 'a')));
}

}  // namespace
}  // namespace spillway
