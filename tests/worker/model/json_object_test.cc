#include "worker/model/json_object.h"

#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::UnorderedElementsAre;

JsonObject Parsed(std::string_view text) { return *JsonObject::Parse(text, "config.json"); }

template <typename T>
std::string Message(const absl::StatusOr<T>& result) {
  EXPECT_EQ(result.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(result.status().message());
}

TEST(JsonObjectTest, FieldsHaveTheirValues) {
  const JsonObject object = Parsed(
      R"({"i":3,"f":0.5,"b":true,"s":"x","n":null,"o":{"i":-4},"l":["a","b"],"k":[1,2],"e":1e-06})");

  EXPECT_EQ(*object.Int("i", 0, 9), 3);
  EXPECT_EQ(*object.Float("f", 0, 1), 0.5);
  EXPECT_EQ(*object.Float("e", 0, 1), 1e-6);
  EXPECT_EQ(*object.Float("i", 0, 9), 3);
  EXPECT_TRUE(*object.BoolOr("b", false));
  EXPECT_EQ(*object.String("s"), "x");
  EXPECT_EQ(*object.Object("o")->Int("i", -9, 9), -4);
  EXPECT_THAT(*object.Strings("l"), ElementsAre("a", "b"));
  EXPECT_THAT(*object.Ints("k", 0, 9), ElementsAre(1, 2));
  EXPECT_THAT(*object.Ints("i", 0, 9), ElementsAre(3));
  EXPECT_TRUE(object.IsString("s"));
  EXPECT_FALSE(object.IsString("i"));
  EXPECT_TRUE(object.IsObject("o"));
  EXPECT_FALSE(object.IsObject("l"));
  EXPECT_THAT(Parsed(R"({"b":1,"a":2})").Keys(), UnorderedElementsAre("a", "b"));
}

TEST(JsonObjectTest, NullCountsAsMissing) {
  const JsonObject object = Parsed(R"({"n":null})");

  EXPECT_FALSE(object.Has("n"));
  EXPECT_TRUE(object.IsNull("n"));
  EXPECT_FALSE(object.IsNull("missing"));
  EXPECT_EQ(*object.IntOr("n", 7, 0, 9), 7);
  EXPECT_EQ(*object.FloatOr("n", 0.5, 0, 9), 0.5);
  EXPECT_TRUE(*object.BoolOr("n", true));
  EXPECT_EQ(*object.StringOr("n", "x"), "x");
  EXPECT_EQ(Message(object.Int("n", 0, 9)), "config.json: n is missing");
  EXPECT_EQ(Message(object.String("x")), "config.json: x is missing");
}

TEST(JsonObjectTest, ErrorsNameFieldValueAndRange) {
  const JsonObject object =
      Parsed(R"({"o":{"i":10,"big":18446744073709551615,"f":-0.5,"t":"12","l":[1,"x"]}})");
  const JsonObject part = *object.Object("o");

  EXPECT_EQ(Message(part.Int("i", 0, 9)), "config.json: o.i is 10, beyond 0 to 9");
  EXPECT_THAT(Message(part.Int("big", 0, INT64_MAX)), HasSubstr("is 18446744073709551615, beyond"));
  EXPECT_THAT(Message(part.Float("f", 0, 9)), HasSubstr("o.f is -0.5, beyond 0 to 9"));
  EXPECT_EQ(Message(part.Int("t", 0, 99)), "config.json: o.t is \"12\", not an integer");
  EXPECT_THAT(Message(part.Int("f", -9, 9)), HasSubstr("not an integer"));
  EXPECT_THAT(Message(part.Int("l", 0, 9)), HasSubstr("not an integer"));
  EXPECT_THAT(Message(part.Ints("l", 0, 9)), HasSubstr("not an integer"));
  EXPECT_THAT(Message(part.BoolOr("i", false)), HasSubstr("not true or false"));
  EXPECT_THAT(Message(part.String("i")), HasSubstr("not a string"));
  EXPECT_THAT(Message(part.Object("i")), HasSubstr("not an object"));
  EXPECT_THAT(Message(part.Strings("l")), HasSubstr("not an array of strings"));
  EXPECT_THAT(Message(part.Strings("t")), HasSubstr("not an array of strings"));
}

TEST(JsonObjectTest, PartsOutliveTheWhole) {
  absl::StatusOr<JsonObject> part = absl::InvalidArgumentError("");
  {
    const JsonObject object = Parsed(R"({"o":{"s":"a long enough text to be on the heap"}})");
    part = object.Object("o");
  }
  EXPECT_EQ(*part->String("s"), "a long enough text to be on the heap");
}

TEST(JsonObjectTest, WhatIsNoObjectIsRefused) {
  EXPECT_EQ(Message(JsonObject::Parse("{\"a\":", "x.json")), "x.json: not JSON at byte 6");
  EXPECT_EQ(Message(JsonObject::Parse("[1]", "x.json")), "x.json: not an object");
  EXPECT_THAT(Message(JsonObject::Parse("{} {}", "x.json")), HasSubstr("not JSON at byte 4"));
  EXPECT_THAT(Message(JsonObject::Parse("{\"a\":\"\xff\"}", "x.json")), HasSubstr("not JSON"));
  EXPECT_THAT(Message(JsonObject::Parse("", "x.json")), HasSubstr("not JSON"));
}

TEST(JsonObjectTest, ArraysOfObjectsAreRead) {
  const auto objects = JsonObject::ParseArray(R"([{"i":1},{"i":2}])", "modules.json");
  ASSERT_TRUE(objects.ok()) << objects.status();
  EXPECT_EQ(*(*objects)[1].Int("i", 0, 9), 2);
  EXPECT_EQ((*objects)[1].NameOf("i"), "modules.json: [1].i");
  EXPECT_FALSE(JsonObject::ParseArray("[1]", "x").ok());
  EXPECT_FALSE(JsonObject::ParseArray("{}", "x").ok());
}

TEST(JsonObjectTest, ListsOfObjectsAreRead) {
  const JsonObject object = Parsed(R"({"t":[{"name":"a"},{"name":"b"}],"l":[1],"s":"x"})");
  const auto objects = object.Objects("t");
  ASSERT_TRUE(objects.ok()) << objects.status();
  EXPECT_EQ(*(*objects)[1].String("name"), "b");
  EXPECT_EQ(Message((*objects)[1].String("x")), "config.json: t[1].x is missing");
  EXPECT_THAT(Message(object.Objects("l")), HasSubstr("not an array of objects"));
  EXPECT_THAT(Message(object.Objects("s")), HasSubstr("not an array of objects"));
  EXPECT_THAT(Message(object.Objects("gone")), HasSubstr("is missing"));
}

TEST(JsonObjectTest, SizeAndDepthAreBounded) {
  const auto nested = [](int depth) {
    return "{\"a\":" + std::string(static_cast<size_t>(depth) - 1, '[') +
           std::string(static_cast<size_t>(depth) - 1, ']') + "}";
  };
  EXPECT_TRUE(JsonObject::Parse(nested(JsonLimits::kDepthMax), "x").ok());
  EXPECT_THAT(Message(JsonObject::Parse(nested(JsonLimits::kDepthMax + 1), "x")),
              HasSubstr("limit of 32"));
  EXPECT_THAT(Message(JsonObject::Parse(std::string(4 << 20, '['), "x")), HasSubstr("limit of 32"));
  const std::string padding(JsonLimits::kBytesMax - 2, ' ');
  EXPECT_TRUE(JsonObject::Parse("{}" + padding, "x").ok());
  EXPECT_THAT(Message(JsonObject::Parse("{} " + padding, "x")), HasSubstr("beyond the limit of"));
}

}  // namespace
}  // namespace spillway
