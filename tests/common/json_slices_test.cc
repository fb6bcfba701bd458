#include "common/json_slices.h"

#include <functional>
#include <random>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "nlohmann/json.hpp"

namespace spillway {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

TEST(JsonSlicesTest, MembersKeepTheirOrderAndSpelling) {
  const auto members = JsonMembers(R"( {"b" : [1, {"z":"}]"}] ,"a":1.50, "":"\"",
                                        "c":{ } , "d":null} )");
  ASSERT_TRUE(members.has_value());
  std::string told;
  for (const JsonMember& member : *members) {
    told += std::string(member.name) + "=" + std::string(member.value) + ";";
  }
  EXPECT_EQ(told, R"(b=[1, {"z":"}]"}];a=1.50;="\"";c={ };d=null;)");
}

TEST(JsonSlicesTest, SpelledMembersAreComparedAsTheyAreMeant) {
  const auto members = JsonSpelledMembers(R"({"mod\u0065l":1,"model":2,"\u006dodel\\":3,"m\/":4})");
  ASSERT_TRUE(members.has_value());
  EXPECT_TRUE(JsonNameIs((*members)[0].name, "model"));
  EXPECT_TRUE(JsonNameIs((*members)[1].name, "model"));
  EXPECT_FALSE(JsonNameIs((*members)[2].name, "model"));
  EXPECT_TRUE(JsonNameIs((*members)[2].name, "model\\"));
  EXPECT_TRUE(JsonNameIs((*members)[3].name, "m/"));
  EXPECT_FALSE(JsonMembers(R"({"mod\u0065l":1})").has_value());
  for (const char* other : {"mode", "models", "", R"(mod\u0065)", R"(mod\u00e5l)", R"(mod\u)",
                            R"(mode\l)", R"(mod\u00g5l)", R"(mod\)"}) {
    EXPECT_FALSE(JsonNameIs(other, "model")) << other;
  }
  EXPECT_TRUE(JsonNameIs(R"(\u004D\u004d)", "MM"));
}

TEST(JsonSlicesTest, StringsEndAtTheFirstQuoteThatIsNotEscaped) {
  EXPECT_EQ(JsonMemberValue(R"({"a":"\\","b":"x\\\"y"})", "a"), R"("\\")");
  EXPECT_EQ(JsonMemberValue(R"({"a":"\\","b":"x\\\"y"})", "b"), R"("x\\\"y")");
  EXPECT_FALSE(JsonMembers(R"({"a":"x\")").has_value());
}

TEST(JsonSlicesTest, Elements) {
  EXPECT_THAT(JsonElements(R"([1,"a,]", [2,[]],{"b":3} , true])"),
              Optional(ElementsAre("1", R"("a,]")", "[2,[]]", R"({"b":3})", "true")));
  EXPECT_THAT(JsonElements(" [ ] "), Optional(ElementsAre()));
}

TEST(JsonSlicesTest, OfSeveralMembersWithANameTheLastCounts) {
  EXPECT_EQ(JsonMemberValue(R"({"a":1,"b":2,"a":3})", "a"), "3");
  EXPECT_EQ(JsonMemberValue(R"({"a":1})", "b"), std::nullopt);
}

TEST(JsonSlicesTest, WhatIsNotThereIsNothing) {
  for (const char* text :
       {"", "1", "[", "[1", "[1,]", "[,1]", "[1]]", "[1] 2", "{}", "[\"]", "[}]"}) {
    EXPECT_EQ(JsonElements(text), std::nullopt) << text;
  }
  for (const char* text : {"", "{", "{}}", "[]", R"({"a"})", R"({"a":})", R"({"a":1,})", R"({a:1})",
                           R"({"a" 1})", R"({"a":1)", R"({"\u0061":1})"}) {
    EXPECT_FALSE(JsonMembers(text).has_value()) << text;
  }
}

// Of any JSON the parts, parsed, are the parts of the whole, parsed.
TEST(JsonSlicesTest, AgreeWithAParser) {
  using Json = nlohmann::json;
  std::mt19937 random(1);
  const std::function<Json(int)> value = [&](int depth) -> Json {
    const auto text = [&] {
      std::string made;
      for (auto i = random() % 4; i > 0; --i) made += "a\"\\{}[],: \n\u00e9"[random() % 12];
      return std::string(made.c_str());
    };
    switch (random() % (depth > 0 ? 6 : 4)) {
      case 0:
        return static_cast<int>(random() % 100) - 50;
      case 1:
        return text();
      case 2:
        return random() % 2 == 0;
      case 3:
        return nullptr;
      case 4: {
        Json array = Json::array();
        for (auto i = random() % 4; i > 0; --i) array.push_back(value(depth - 1));
        return array;
      }
      default: {
        Json object = Json::object();
        for (auto i = random() % 4; i > 0; --i)
          object[std::to_string(random() % 9)] = value(depth - 1);
        return object;
      }
    }
  };
  const auto dumped = [&](const Json& json) {
    return json.dump(static_cast<int>(random() % 3) - 1, ' ', true, Json::error_handler_t::replace);
  };
  int parts = 0;
  for (int i = 0; i < 3000; ++i) {
    const Json json = Json::parse(dumped(value(4)));
    const std::string text = dumped(json);
    const auto elements = JsonElements(text);
    const auto members = JsonMembers(text);
    ASSERT_EQ(elements.has_value(), json.is_array()) << text;
    ASSERT_EQ(members.has_value(), json.is_object()) << text;
    if (json.is_array()) {
      Json again = Json::array();
      for (const std::string_view element : *elements) again.push_back(Json::parse(element));
      ASSERT_EQ(again, json);
      parts += static_cast<int>(again.size());
    } else if (json.is_object()) {
      Json again = Json::object();
      for (const auto& [name, part] : *members) again[std::string(name)] = Json::parse(part);
      ASSERT_EQ(again, json);
      parts += static_cast<int>(again.size());
    }
  }
  EXPECT_GT(parts, 500);
}

}  // namespace
}  // namespace spillway
