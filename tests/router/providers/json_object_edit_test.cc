#include "router/providers/json_object_edit.h"

#include "gtest/gtest.h"

namespace spillway {
namespace {

JsonObjectEdit Edit(std::string_view text) {
  auto edit = JsonObjectEdit::Of(text);
  EXPECT_TRUE(edit.has_value()) << text;
  return *std::move(edit);
}

TEST(JsonObjectEditTest, WithoutAChangeEveryByteIsAsItWas) {
  for (const char* text :
       {"{}", " { } ", "{\"a\":1.50}", "\n{ \"a\" : [1, 2] ,\t\"b\":{}\r\n}\n"}) {
    EXPECT_EQ(Edit(text).Text(), text);
  }
  EXPECT_FALSE(JsonObjectEdit::Of("[]").has_value());
  EXPECT_FALSE(JsonObjectEdit::Of("{\"a\":1").has_value());
}

TEST(JsonObjectEditTest, ValuesChangeInTheirPlaceAndNewOnesComeLast) {
  JsonObjectEdit edit = Edit("{ \"a\" : 1 , \"b\":2 }");
  edit.Set("a", "\"x\"");
  edit.Set("c", "3");
  EXPECT_EQ(edit.Text(), "{ \"a\" : \"x\" , \"b\":2,\"c\":3 }");
  EXPECT_EQ(edit.Find("a"), "\"x\"");
  EXPECT_EQ(edit.Find("c"), "3");
  EXPECT_EQ(edit.Find("d"), std::nullopt);
  JsonObjectEdit empty = Edit("{ }");
  empty.Set("a", "1");
  empty.Set("b", "2");
  EXPECT_EQ(empty.Text(), "{\"a\":1,\"b\":2 }");
}

TEST(JsonObjectEditTest, WhatGoesTakesOneCommaWithIt) {
  const auto without = [](std::initializer_list<std::string_view> names) {
    JsonObjectEdit edit = Edit("{ \"a\":1, \"b\":2 ,\"c\":3\n}");
    for (const std::string_view name : names) edit.Remove(name);
    return edit.Text();
  };
  EXPECT_EQ(without({"a"}), "{ \"b\":2 ,\"c\":3\n}");
  EXPECT_EQ(without({"b"}), "{ \"a\":1 ,\"c\":3\n}");
  EXPECT_EQ(without({"c"}), "{ \"a\":1, \"b\":2\n}");
  EXPECT_EQ(without({"a", "b"}), "{\"c\":3\n}");
  EXPECT_EQ(without({"b", "c"}), "{ \"a\":1\n}");
  EXPECT_EQ(without({"a", "b", "c"}), "{\n}");
  JsonObjectEdit replaced = Edit("{\"a\":1}");
  replaced.Remove("a");
  replaced.Set("b", "2");
  EXPECT_EQ(replaced.Text(), "{\"b\":2}");
}

TEST(JsonObjectEditTest, EachMemberOfANameInWhateverSpelling) {
  JsonObjectEdit edit = Edit(R"({"a":1,"\u0061":2,"b":{"a":3}})");
  EXPECT_EQ(edit.Find("a"), "2");
  edit.Set("a", "0");
  EXPECT_EQ(edit.Text(), R"({"a":0,"\u0061":0,"b":{"a":3}})");
  edit.Rename("a", "c");
  EXPECT_EQ(edit.Find("a"), std::nullopt);
  EXPECT_EQ(edit.Text(), R"({"c":0,"c":0,"b":{"a":3}})");
}

TEST(JsonObjectEditTest, ChangesThatDependOnTheValue) {
  JsonObjectEdit edit = Edit(R"({"a":1,"b":0,"a":2,"a":3})");
  edit.ChangeEach("a", [](std::string_view value) -> std::optional<std::string> {
    if (value == "1") return std::nullopt;
    return value == "2" ? "" : "4";
  });
  EXPECT_EQ(edit.Text(), R"({"a":1,"b":0,"a":4})");
}

}  // namespace
}  // namespace spillway
