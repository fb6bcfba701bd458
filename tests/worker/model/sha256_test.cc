#include "worker/model/sha256.h"

#include <string>

#include "gtest/gtest.h"

namespace spillway {
namespace {

// FIPS 180-4's own example.
TEST(Sha256Test, PartsGiveTheDigestOfTheWhole) {
  Sha256 hash;
  hash.Add(std::as_bytes(std::span("a", 1)));
  hash.Add({});
  hash.Add(std::as_bytes(std::span("bc", 2)));
  EXPECT_EQ(hash.HexDigest(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, TextsKeepTheirBounds) {
  Sha256 one, other;
  one.AddText("ab");
  one.AddText("c");
  other.AddText("a");
  other.AddText("bc");
  EXPECT_NE(one.HexDigest(), other.HexDigest());
}

}  // namespace
}  // namespace spillway
