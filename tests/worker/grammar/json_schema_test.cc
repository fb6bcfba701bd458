#include "worker/grammar/json_schema.h"

#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace spillway {
namespace {

using ::testing::HasSubstr;

std::string Prepared(const std::string& schema) {
  const auto prepared = PrepareJsonSchema(schema);
  return prepared.ok() ? *prepared : "refused: " + std::string(prepared.status().message());
}

TEST(JsonSchemaTest, ObjectsGetNoMembersThatTheyDoNotName) {
  EXPECT_EQ(Prepared(R"({"type":"object","properties":{"b":{},"a":{}}})"),
            R"({"type":"object","properties":{"b":{},"a":{}},"additionalProperties":false})");
  EXPECT_EQ(Prepared(R"({"properties":{"b":true},"additionalProperties":true})"),
            R"({"properties":{"b":true},"additionalProperties":true})");
  EXPECT_EQ(Prepared(R"({"type":"object"})"), R"({"type":"object"})");
}

TEST(JsonSchemaTest, WhatIsRequiredIsAProperty) {
  EXPECT_EQ(Prepared(R"({"type":"object","required":["a"],"properties":{"b":{}}})"),
            R"({"type":"object","required":["a"],"properties":{"b":{},"a":{}},)"
            R"("additionalProperties":false})");
  EXPECT_THAT(Prepared(R"({"required":["a"],"properties":{},"additionalProperties":false})"),
              HasSubstr("$: required has \"a\", which additionalProperties forbids"));
}

TEST(JsonSchemaTest, RefusalsNameTheKeywordAndItsPlace) {
  const struct {
    const char* schema;
    const char* message;
  } kCases[] = {
      {R"({"not":{}})", "$: not is not supported"},
      {R"({"type":"array","uniqueItems":true})", "$: uniqueItems is not supported"},
      {R"({"properties":{"a":{"if":{}}}})", "$.properties.a: if is not supported"},
      {R"({"items":{"contains":{}}})", "$.items: contains is not supported"},
      {R"({"$defs":{"d":{"dependentSchemas":{}}}})", "$.$defs.d: dependentSchemas"},
      {R"({"anyOf":[{}],"type":"object"})", "$: type is not supported beside anyOf"},
      {R"({"allOf":[{},{}]})", "$: allOf is supported with one schema only"},
      {R"({"oneOf":[{"type":"string"},{}]})", "$: oneOf is supported where"},
      {R"({"oneOf":[{"type":"integer"},{"type":"number"}]})", "$: oneOf"},
      {R"({"$ref":"#/$defs/a"})", "leads to no schema"},
      {R"({"$ref":"http://a/b"})", "leads to no schema"},
      {R"({"$ref":"#"})", "leads to no schema"},
      {R"({"type":"text"})", "$: type is \"text\""},
      {R"({"minimum":1})", "$: minimum needs a type"},
      {R"({"type":"string","format":"zip"})", "$: format \"zip\" is not supported"},
      {R"({"type":"string","pattern":"a","minLength":1})", "$: pattern is not supported beside"},
      {R"({"type":"string","maxLength":1000000})", "$: maxLength must be an integer from 0"},
      {R"({"type":"number","multipleOf":2})", "$: multipleOf is supported for integers"},
      {R"({"enum":[]})", "$: enum must be"},
      {R"({"enum":[1],"type":"string"})", "$: enum has values that are not of the type"},
      {R"({"type":"object","patternProperties":{},"properties":{}})", "$: patternProperties"},
      {R"({"properties":{"a":false}})", "$.properties.a: false"},
      {R"({"properties":[]})", "$: properties must be an object"},
      {R"({"items":5})", "$.items: a schema must be"},
      {"7", "$: a schema must be"},
      {"{", "is not JSON"},
  };
  for (const auto& [schema, message] : kCases) {
    EXPECT_THAT(Prepared(schema), HasSubstr(message)) << schema;
  }
}

TEST(JsonSchemaTest, SizesAreBounded) {
  EXPECT_THAT(Prepared("{\"title\":\"" + std::string(200'000, 'a') + "\"}"), HasSubstr("at most"));
  std::string deep;
  for (int i = 0; i < 70; ++i) deep += "{\"items\":";
  EXPECT_THAT(Prepared(deep + "{}" + std::string(70, '}')), HasSubstr("nests too deep"));
  EXPECT_THAT(Prepared(std::string(100'000, '[')), HasSubstr("nests too deep"));
  std::string wide = "{\"anyOf\":[{}";
  for (int i = 0; i < 5000; ++i) wide += ",{}";
  EXPECT_THAT(Prepared(wide + "]}"), HasSubstr("over 4000 subschemas"));
}

TEST(JsonSchemaTest, OneOfWhoseSchemasDifferIsAnyOf) {
  EXPECT_EQ(Prepared(R"({"oneOf":[{"type":"string"},{"type":"integer"}]})"),
            R"({"anyOf":[{"type":"string"},{"type":"integer"}]})");
  EXPECT_THAT(Prepared(R"({"oneOf":[{"$ref":"#/$defs/a"},{"type":"object","required":["k"],)"
                       R"("properties":{"k":{"const":"b"}}}],"$defs":{"a":{"type":"object",)"
                       R"("required":["k"],"properties":{"k":{"enum":["a"]}}}}})"),
              HasSubstr("anyOf"));
}

TEST(JsonSchemaTest, WhatOnlyTellsIsPassedOver) {
  const std::string schema =
      R"({"$schema":"x","title":"t","description":"d","default":1,"x-y":{},"type":"integer"})";
  EXPECT_EQ(Prepared(schema), schema);
}

}  // namespace
}  // namespace spillway
