// That the tables are tokenizers' is shown by normalizer_test.cc and pre_tokenizer_test.cc.
#include "worker/text/unicode_properties.h"

#include <string>

#include "gtest/gtest.h"
#include "worker/text/graphemes.h"
#include "worker/text/unicode_normalization.h"

namespace spillway {
namespace {

TEST(UnicodePropertiesTest, NamesDoNotCareAboutCaseSpacesAndDashes) {
  for (const char* name :
       {"Lu", "lu", "L_u", "Uppercase_Letter", "uppercase letter", "UPPERCASE-LETTER"}) {
    const auto set = UnicodeProperty(name);
    ASSERT_TRUE(set.has_value()) << name;
    EXPECT_TRUE(set->Has('A'));
    EXPECT_FALSE(set->Has('a'));
  }
  EXPECT_EQ(UnicodeProperty("Klingon"), std::nullopt);
  EXPECT_EQ(UnicodeProperty(""), std::nullopt);
}

TEST(UnicodePropertiesTest, CategoriesShareAllCharactersOut) {
  CodePointSet all;
  for (const char* name : {"L", "M", "N", "P", "S", "Z", "C"}) {
    const CodePointSet set = *UnicodeProperty(name);
    EXPECT_TRUE(all.And(set).empty()) << name;
    all.Add(set);
  }
  // Surrogates are in no UTF-8.
  EXPECT_TRUE(all.Complement()
                  .Without(CodePointSet(std::vector<CodePointRange>{{0xD800, 0xDFFF}}))
                  .empty());
}

TEST(UnicodePropertiesTest, ScriptsAndKinds) {
  EXPECT_TRUE(UnicodeProperty("Han")->Has(0x4E2D));
  EXPECT_TRUE(UnicodeProperty("Han")->Has(0x3007));
  EXPECT_FALSE(UnicodeProperty("Hiragana")->Has(0x4E2D));
  EXPECT_TRUE(UnicodeWhiteSpace().Has(0x3000));
  EXPECT_FALSE(UnicodeWhiteSpace().Has(0x200B));
  EXPECT_TRUE(UnicodeNumeric().Has(0xBD));
  EXPECT_TRUE(UnicodePunctuation().Has('$')) << "all of ASCII's";
}

TEST(UnicodePropertiesTest, LowerCaseMayBeMoreThanOneCharacter) {
  std::string text;
  AppendLowercase(U'\u0130', text);
  AppendLowercase(U'\u00c9', text);
  AppendLowercase(U'\u4e2d', text);

  EXPECT_EQ(text, "i\u0307\u00e9\u4e2d");
}

TEST(UnicodePropertiesTest, OtherCasesAreAdded) {
  CodePointSet set(U'k');
  AddOtherCases(set);

  EXPECT_TRUE(set.Has('K'));
  EXPECT_TRUE(set.Has(0x212A)) << "the Kelvin sign";
  EXPECT_FALSE(set.Has('l'));
}

TEST(UnicodeNormalizationTest, TheFourForms) {
  using Form = UnicodeNormalization::Form;
  const auto normal = [](Form form, std::string_view text) {
    return UnicodeNormalization(form).Normalize(text);
  };

  EXPECT_EQ(normal(Form::kNfc, "e\u0301"), "\u00e9");
  EXPECT_EQ(normal(Form::kNfd, "\u00e9"), "e\u0301");
  EXPECT_EQ(normal(Form::kNfc, "s\u0307\u0323"), "\u1e69") << "marks in their order";
  EXPECT_EQ(normal(Form::kNfd, "\ud55c"), "\u1112\u1161\u11ab");
  EXPECT_EQ(normal(Form::kNfc, "\u1112\u1161\u11ab"), "\ud55c");
  EXPECT_EQ(normal(Form::kNfkc, "\ufb01\u00b2"), "fi2");
  EXPECT_EQ(normal(Form::kNfc, "\ufb01\u00b2"), "\ufb01\u00b2");
  EXPECT_EQ(normal(Form::kNfc, "e\xFF\u0301"), "e\xFF\u0301") << "bad bytes interact with nothing";
}

TEST(UnicodeNormalizationTest, ANormalFormIsNormal) {
  using Form = UnicodeNormalization::Form;
  const std::string text = "a\u0301\u0323\u00c5\u212b\ufb03\uff76\uff9e\u1100\u1161\u0344\u0958 x";
  for (const Form form : {Form::kNfc, Form::kNfd, Form::kNfkc, Form::kNfkd}) {
    const UnicodeNormalization normalization(form);
    const std::string once = normalization.Normalize(text);
    EXPECT_EQ(normalization.Normalize(once), once);
  }
}

TEST(GraphemesTest, AreWhatReadersTakeForACharacter) {
  const Graphemes graphemes;
  EXPECT_EQ(graphemes.FirstSize("ab"), 1u);
  EXPECT_EQ(graphemes.FirstSize("e\u0301\u0323x"), 5u);
  EXPECT_EQ(graphemes.FirstSize("\r\nx"), 2u);
  EXPECT_EQ(graphemes.FirstSize("\n\u0301"), 1u) << "controls take no marks";
  EXPECT_EQ(graphemes.FirstSize("\u1112\u1161\u11abx"), 9u) << "a syllable";
  EXPECT_EQ(graphemes.FirstSize("\u0915\u093fx"), 6u) << "a spacing mark";
}

}  // namespace
}  // namespace spillway
