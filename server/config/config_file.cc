#include "server/config/config_file.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <optional>
#include <set>
#include <sstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace spillway {
namespace {

constexpr size_t kFileBytesMax = 1u << 20;
constexpr size_t kErrorsMax = 100;
constexpr size_t kValuesMax = 1000;  // of one list
constexpr size_t kValueBytesMax = 4096;
constexpr size_t kValueBytesShown = 80;
constexpr size_t kTyposMax = 2;  // that a key which is meant may have

int LineOf(const YAML::Node& node) { return node.Mark().line + 1; }

std::string Shown(const std::string& value) {
  std::string shown = value.substr(0, kValueBytesShown);
  for (char& c : shown) {
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  }
  return shown;
}

// How many letters must be put in, left out or replaced to make one of the other.
size_t Distance(std::string_view a, std::string_view b) {
  std::vector<size_t> row(b.size() + 1);
  for (size_t j = 0; j < row.size(); ++j) row[j] = j;
  for (size_t i = 1; i <= a.size(); ++i) {
    size_t diagonal = std::exchange(row[0], i);
    for (size_t j = 1; j <= b.size(); ++j) {
      const size_t replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = std::exchange(row[j], std::min({row[j] + 1, row[j - 1] + 1, replaced}));
    }
  }
  return row.back();
}

// Hears where documents begin, and nothing else.
class DocumentStarts : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark& mark) override { last_line = mark.line + 1; }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}

  int last_line = 0;
};

class Parser {
 public:
  ConfigResult Parse(std::string_view text) {
    if (text.size() > kFileBytesMax) {
      Say(0, absl::StrCat("the file has ", text.size(), " bytes, beyond the limit of ",
                          kFileBytesMax));
      return std::move(errors_);
    }
    try {
      // YAML::LoadAll() never ends where a document is followed by "]".
      CheckOneDocument(text);
      const YAML::Node file = YAML::Load(std::string(text));
      if (errors_.empty() && !file.IsNull()) ReadSection("", file);
    } catch (const YAML::Exception& error) {
      Say(error.mark.is_null() ? 0 : error.mark.line + 1, absl::StrCat("no YAML: ", error.msg));
    }
    if (!errors_.empty()) {
      return std::move(errors_);
    }
    std::ranges::sort(settings_, {}, &ConfigSetting::key);
    return std::move(settings_);
  }

 private:
  void Say(int line, std::string message) {
    if (errors_.size() < kErrorsMax) errors_.push_back({line, std::move(message)});
  }

  void CheckOneDocument(std::string_view text) {
    std::istringstream stream{std::string(text)};
    YAML::Parser parser(stream);
    DocumentStarts starts;
    if (!parser.HandleNextDocument(starts) || !parser.HandleNextDocument(starts)) return;
    Say(starts.last_line,
        "what stands here doesn't belong to what is above it: a second document, or "
        "a bracket too many");
  }

  void ReadSection(const std::string& section, const YAML::Node& node) {
    if (!node.IsMap()) {
      return Say(LineOf(node), absl::StrCat(section.empty() ? "the file" : section,
                                            " is a list of \"key: value\" lines, and this is not"));
    }
    std::set<std::string> seen;
    for (const auto& entry : node) {
      if (!entry.first.IsScalar()) {
        Say(LineOf(entry.first), "a key is a word");
        continue;
      }
      const std::string name = entry.first.Scalar();
      const std::string path = section.empty() ? name : absl::StrCat(section, ".", name);
      if (!seen.insert(name).second) {
        Say(LineOf(entry.first), absl::StrCat(Shown(path), " stands here twice"));
      } else if (const ConfigKey* key = Find(path)) {
        ReadValue(*key, entry.second);
      } else if (section.empty() && IsSection(name)) {
        if (!entry.second.IsNull()) ReadSection(name, entry.second);
      } else {
        SayUnknown(LineOf(entry.first), section, name);
      }
    }
  }

  static const ConfigKey* Find(std::string_view path) {
    const auto key = std::ranges::find(ConfigKeys(), path, &ConfigKey::path);
    return key == ConfigKeys().end() ? nullptr : &*key;
  }

  static std::vector<std::string> NamesIn(const std::string& section) {
    std::vector<std::string> names;
    for (const ConfigKey& key : ConfigKeys()) {
      std::string_view name = key.path;
      if (section.empty()) {
        name = name.substr(0, name.find('.'));
      } else if (name.starts_with(section + ".")) {
        name.remove_prefix(section.size() + 1);
      } else {
        continue;
      }
      if (names.empty() || names.back() != name) names.emplace_back(name);
    }
    return names;
  }

  static bool IsSection(const std::string& name) {
    return std::ranges::any_of(
        ConfigKeys(), [&](const ConfigKey& key) { return key.path.starts_with(name + "."); });
  }

  void SayUnknown(int line, const std::string& section, const std::string& name) {
    const std::vector<std::string> names = NamesIn(section);
    std::string message = absl::StrCat("there is no key \"", Shown(name), "\"",
                                       section.empty() ? "" : absl::StrCat(" in ", section));
    const std::string cut = name.substr(0, kValueBytesShown);
    const auto nearest = std::ranges::min_element(
        names, {}, [&](const std::string& known) { return Distance(cut, known); });
    if (Distance(cut, *nearest) <= kTyposMax) {
      absl::StrAppend(&message, "; did you mean \"", *nearest, "\"?");
    } else {
      absl::StrAppend(&message, "; there are: ", absl::StrJoin(names, ", "));
    }
    Say(line, std::move(message));
  }

  void SayWrong(const ConfigKey& key, const YAML::Node& node) {
    const std::string seen = node.IsScalar()     ? absl::StrCat("\"", Shown(node.Scalar()), "\"")
                             : node.IsSequence() ? "a list"
                             : node.IsMap()      ? "a section"
                                                 : "nothing";
    Say(LineOf(node),
        absl::StrCat(std::string(key.path), " is ", DescribeType(key), "; this is ", seen));
  }

  void ReadValue(const ConfigKey& key, const YAML::Node& node) {
    ConfigSetting setting = {.key = &key};
    std::optional<std::string> value;
    switch (key.type) {
      case ConfigType::kText:
        value = Text(node);
        break;
      case ConfigType::kSwitch:
        value = Switch(node);
        break;
      case ConfigType::kInteger:
        value = Integer(key, node);
        break;
      case ConfigType::kSeconds:
        value = Seconds(key, node);
        break;
      case ConfigType::kTexts:
        if (node.IsSequence()) return ReadList(key, node, "");
        value = Text(node);
        break;
      case ConfigType::kModels:
        return ReadList(key, node, "path");
    }
    if (!value) return SayWrong(key, node);
    setting.values.push_back(*std::move(value));
    settings_.push_back(std::move(setting));
  }

  static std::optional<std::string> Text(const YAML::Node& node) {
    if (!node.IsScalar() || node.Scalar().empty() || node.Scalar().size() > kValueBytesMax) {
      return std::nullopt;
    }
    return node.Scalar();
  }

  // As YAML 1.2 has them, and no other word: "no" may be a name.
  static std::optional<std::string> Switch(const YAML::Node& node) {
    if (!node.IsScalar() || (node.Scalar() != "true" && node.Scalar() != "false")) {
      return std::nullopt;
    }
    return node.Scalar();
  }

  static std::optional<std::string> Integer(const ConfigKey& key, const YAML::Node& node) {
    int64_t number = 0;
    if (!node.IsScalar() || !absl::SimpleAtoi(node.Scalar(), &number) ||
        static_cast<double>(number) < key.min || static_cast<double>(number) > key.max) {
      return std::nullopt;
    }
    return absl::StrCat(number);
  }

  static std::optional<std::string> Seconds(const ConfigKey& key, const YAML::Node& node) {
    double number = 0;
    if (!node.IsScalar() || node.Scalar().find_first_not_of("0123456789.") != std::string::npos ||
        !absl::SimpleAtod(node.Scalar(), &number) || !(number >= key.min && number <= key.max)) {
      return std::nullopt;
    }
    return node.Scalar();
  }

  // Of texts; and if `member` isn't empty, of {name, member}.
  void ReadList(const ConfigKey& key, const YAML::Node& node, const std::string& member) {
    if (!node.IsSequence() || node.size() > kValuesMax) return SayWrong(key, node);
    ConfigSetting setting = {.key = &key};
    for (const YAML::Node& entry : node) {
      std::optional<std::string> value = Text(entry);
      if (!value && !member.empty() && entry.IsMap()) value = Named(key, entry, member);
      if (!value) {
        SayWrong(key, entry);
      } else {
        setting.values.push_back(*std::move(value));
      }
    }
    settings_.push_back(std::move(setting));
  }

  // "NAME=MEMBER"; an empty text where it has said itself what is wrong.
  std::optional<std::string> Named(const ConfigKey& key, const YAML::Node& entry,
                                   const std::string& member) {
    std::string name;
    std::string value;
    for (const auto& part : entry) {
      const std::optional<std::string> text = Text(part.second);
      const std::string which = part.first.IsScalar() ? part.first.Scalar() : "";
      if (which != "name" && which != member) {
        Say(LineOf(part.first), absl::StrCat("there is no key \"", Shown(which), "\" in ",
                                             std::string(key.path), "; there are: name, ", member));
        continue;
      }
      if (!text) return std::nullopt;
      (which == "name" ? name : value) = *text;
    }
    if (!value.empty()) return name.empty() ? value : absl::StrCat(name, "=", value);
    Say(LineOf(entry), absl::StrCat(std::string(key.path), " needs a ", member, " here"));
    return "";
  }

  std::vector<ConfigSetting> settings_;
  std::vector<ConfigError> errors_;
};

}  // namespace

ConfigResult ParseConfig(std::string_view text) { return Parser().Parse(text); }

std::string FormatErrors(const std::string& path, const std::vector<ConfigError>& errors) {
  std::string out;
  for (const ConfigError& error : errors) {
    if (!out.empty()) out += '\n';
    absl::StrAppend(&out, path, error.line > 0 ? absl::StrCat(":", error.line) : "", ": ",
                    error.message);
  }
  return out;
}

absl::StatusOr<std::vector<ConfigSetting>> ReadConfig(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError(
        absl::StrCat("can't read the configuration ", path, ", or it is empty"));
  }
  ConfigResult result = ParseConfig(text.str());
  if (const auto* errors = std::get_if<std::vector<ConfigError>>(&result)) {
    return absl::InvalidArgumentError(FormatErrors(path, *errors));
  }
  return std::get<std::vector<ConfigSetting>>(std::move(result));
}

std::vector<std::string> MergeCommandLine(const std::vector<std::string>& arguments,
                                          const std::vector<ConfigSetting>& settings,
                                          const std::vector<std::string>& given) {
  const auto command = arguments.begin() + std::min<std::ptrdiff_t>(2, std::ssize(arguments));
  std::vector<std::string> merged(arguments.begin(), command);
  for (const ConfigSetting& setting : settings) {
    const std::string flag(setting.key->flag);
    if (std::ranges::find(given, flag) != given.end()) continue;
    for (const std::string& value : setting.values) {
      if (setting.key->type != ConfigType::kSwitch) {
        merged.push_back(absl::StrCat(flag, "=", value));
      } else if (value == "true") {
        merged.push_back(flag);
      }
    }
  }
  merged.insert(merged.end(), command, arguments.end());
  return merged;
}

std::vector<const ConfigKey*> ChangedKeys(const std::vector<ConfigSetting>& before,
                                          const std::vector<ConfigSetting>& after) {
  std::vector<const ConfigKey*> changed;
  for (const ConfigKey& key : ConfigKeys()) {
    const auto values = [&key](const std::vector<ConfigSetting>& settings) {
      const auto found = std::ranges::find(settings, &key, &ConfigSetting::key);
      return found == settings.end() ? std::vector<std::string>() : found->values;
    };
    if (values(before) != values(after)) changed.push_back(&key);
  }
  return changed;
}

}  // namespace spillway
