#include "server/dialects/ollama_dialect.h"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>
#include <vector>

#include "absl/strings/str_cat.h"
#include "router/service.h"
#include "server/dialects/embedding_operation.h"
#include "server/dialects/json_escape.h"
#include "server/dialects/model_capabilities.h"
#include "server/dialects/ollama_error.h"
#include "server/dialects/request_origin.h"
#include "server/dialects/single_request.h"

namespace spillway {
namespace {

// The version of Ollama whose API this is: clients ask for it to learn what they may send.
constexpr char kOllamaVersion[] = "0.34.0";
// When a model is unloaded that nobody unloads, as Ollama says it.
constexpr char kNeverExpires[] = "2318-01-01T00:00:00Z";
constexpr size_t kDigestDigits = 64;

HttpResponse Json(std::string body) { return {.body = std::move(body)}; }

// Ollama's names have a tag, and its clients compare them with one.
std::string Tagged(const std::string& name) {
  return name.find(':') == std::string::npos ? name + ":latest" : name;
}

// Ollama's clients cut pieces out of a digest, and so count on its length.
std::string Digest(const ModelInfo& model) {
  std::string digest = model.content_hash.substr(0, kDigestDigits);
  digest.append(kDigestDigits - digest.size(), '0');
  return digest;
}

void AppendDetails(const ModelInfo& model, std::string& out) {
  out += "\"details\":{\"parent_model\":\"\",\"format\":\"\",\"family\":";
  AppendJsonString(out, model.architecture);
  out += ",\"families\":[";
  AppendJsonString(out, model.architecture);
  out += "],\"parameter_size\":\"\",\"quantization_level\":\"\"}";
}

HttpResponse EmbedResponse(const EmbeddingAnswer& answer, const std::string& model,
                           std::optional<int32_t> dimensions, absl::Duration took) {
  const size_t size = answer.vectors.front().size();
  if (dimensions && static_cast<size_t>(*dimensions) != size) {
    return OllamaErrorResponse(
        400, absl::StrCat("dimensions is ", *dimensions, ", but the vectors of this model have ",
                          size, " numbers and can't be shortened"));
  }
  std::string out = "{\"model\":";
  AppendJsonString(out, model);
  out += ",\"embeddings\":[";
  for (const std::vector<float>& vector : answer.vectors) {
    if (out.back() != '[') out += ',';
    AppendNumbers(vector, out);
  }
  absl::StrAppend(&out, "],\"total_duration\":", absl::ToInt64Nanoseconds(took),
                  ",\"load_duration\":0,\"prompt_eval_count\":", answer.prompt_tokens, "}");
  return Json(std::move(out));
}

HttpResponse EmbeddingsResponse(const EmbeddingAnswer& answer) {
  std::string out = "{\"embedding\":";
  AppendNumbers(answer.vectors.front(), out);
  out += '}';
  return Json(std::move(out));
}

}  // namespace

void OllamaDialect::AddRoutes(RouteTable& routes) {
  const auto add = [&routes](std::string_view method, std::string_view path, auto handler) {
    routes.Add({method, path, TokenRule::kAlways,
                [handler = std::move(handler)](HttpRequest& request, ResponseWriter& writer)
                    -> std::unique_ptr<HttpOperation> { return handler(request, writer); }});
  };
  add("POST", "/api/chat", [this](HttpRequest& request, ResponseWriter& writer) {
    return Generate(OllamaEndpoint::kChat, request, writer);
  });
  add("POST", "/api/generate", [this](HttpRequest& request, ResponseWriter& writer) {
    return Generate(OllamaEndpoint::kGenerate, request, writer);
  });
  add("POST", "/api/embed", [this](HttpRequest& request, ResponseWriter& writer) {
    return Embed(/*batch=*/true, request, writer);
  });
  add("POST", "/api/embeddings", [this](HttpRequest& request, ResponseWriter& writer) {
    return Embed(/*batch=*/false, request, writer);
  });
  add("GET", "/api/version", [](HttpRequest&, ResponseWriter& writer) {
    writer.Send(Json(absl::StrCat("{\"version\":\"", kOllamaVersion, "\"}")));
    return nullptr;
  });
  add("GET", "/api/tags", [this](HttpRequest& request, ResponseWriter& writer) {
    ListModels(request, writer);
    return nullptr;
  });
  add("GET", "/api/ps", [this](HttpRequest& request, ResponseWriter& writer) {
    ListRunning(request, writer);
    return nullptr;
  });
  add("POST", "/api/show", [this](HttpRequest& request, ResponseWriter& writer) {
    Show(request, writer);
    return nullptr;
  });
  constexpr std::pair<std::string_view, std::string_view> kStore[] = {
      {"POST", "/api/pull"},   {"POST", "/api/push"},     {"POST", "/api/create"},
      {"POST", "/api/copy"},   {"DELETE", "/api/delete"}, {"POST", "/api/blobs/*"},
      {"HEAD", "/api/blobs/*"}};
  for (const auto& [method, path] : kStore) {
    add(method, path, [](HttpRequest& request, ResponseWriter& writer) {
      writer.Send(OllamaErrorResponse(
          501, absl::StrCat(request.path,
                            " is not possible here: this server has the models that it was started "
                            "with; GET /api/tags lists them")));
      return nullptr;
    });
  }
}

void OllamaDialect::Refuse(const HttpRequest& request, std::string_view message,
                           ResponseWriter& writer) const {
  ReportRefusal(request, 400, context_.observer);
  writer.Send(OllamaErrorResponse(400, message));
}

std::optional<ModelInfo> OllamaDialect::FindModel(const std::string& name,
                                                  const HttpRequest& request,
                                                  ResponseWriter& writer) const {
  const std::vector<ModelInfo> models = ModelsFor(request, context_.router);
  std::vector<std::string> names;
  for (const ModelInfo& model : models) names.push_back(model.name);
  absl::Status missing = absl::NotFoundError("no model is ready yet");
  if (!names.empty()) {
    const absl::StatusOr<std::string> found = ResolveService(name, names);
    if (found.ok())
      return models[static_cast<size_t>(std::ranges::find(names, *found) - names.begin())];
    missing = found.status();
  }
  ReportRefusal(request, 404, context_.observer);
  writer.Send(OllamaErrorResponse(404, std::string(missing.message())));
  return std::nullopt;
}

std::unique_ptr<HttpOperation> OllamaDialect::Generate(OllamaEndpoint endpoint,
                                                       HttpRequest& request,
                                                       ResponseWriter& writer) {
  auto parsed = endpoint == OllamaEndpoint::kChat
                    ? ParseOllamaChat(request.body, context_.limits)
                    : ParseOllamaGenerate(request.body, context_.limits);
  if (const auto* refusal = std::get_if<OllamaRefusal>(&parsed)) {
    Refuse(request, refusal->message, writer);
    return nullptr;
  }
  OllamaRequest& ollama = std::get<OllamaRequest>(parsed);
  if (ollama.only_load) {
    if (FindModel(ollama.generate.model, request, writer)) {
      HttpResponse response = Json(OllamaLoadAnswer(endpoint, ollama.generate.model, ollama.unload,
                                                    context_.clock.WallNow()));
      if (ollama.stream) response.body += '\n';
      writer.Send(std::move(response));
    }
    return nullptr;
  }
  SetOrigin(request, ollama.generate);
  const auto make_format = [endpoint, id = request.request_id, model = ollama.generate.model,
                            show = ollama.show_thinking, &clock = context_.clock] {
    return MakeOllamaFormat(endpoint, id, model, show, clock);
  };
  return AnswerSingly(context_, request, std::move(ollama.generate), ollama.stream, make_format,
                      writer);
}

std::unique_ptr<HttpOperation> OllamaDialect::Embed(bool batch, HttpRequest& request,
                                                    ResponseWriter& writer) {
  auto parsed = batch ? ParseOllamaEmbed(request.body, context_.limits)
                      : ParseOllamaEmbeddings(request.body, context_.limits);
  if (const auto* refusal = std::get_if<OllamaRefusal>(&parsed)) {
    Refuse(request, refusal->message, writer);
    return nullptr;
  }
  OllamaEmbedding& ollama = std::get<OllamaEmbedding>(parsed);
  std::string model = ollama.embed.model;
  if (ollama.embed.inputs.empty()) {
    if (!FindModel(model, request, writer)) return nullptr;
    std::string out = "{\"model\":";
    AppendJsonString(out, model);
    writer.Send(Json(batch ? out + ",\"embeddings\":[]}" : "{\"embedding\":[]}"));
    return nullptr;
  }
  SetOrigin(request, ollama.embed);
  EmbeddingOperation::Format format = {.answer = EmbeddingsResponse, .error = ToOllamaResponse};
  if (batch) {
    format.answer = [model = std::move(model), dimensions = ollama.dimensions,
                     asked = context_.clock.Now(),
                     &clock = context_.clock](const EmbeddingAnswer& answer) {
      return EmbedResponse(answer, model, dimensions, clock.Now() - asked);
    };
  }
  return std::make_unique<EmbeddingOperation>(std::move(ollama.embed), std::move(format),
                                              context_.shard, writer);
}

std::string OllamaDialect::ModelMembers(const ModelInfo& model) const {
  const auto size = sizes_.find(model.name);
  std::string out = "{\"name\":";
  AppendJsonString(out, Tagged(model.name));
  out += ",\"model\":";
  AppendJsonString(out, Tagged(model.name));
  absl::StrAppend(&out, ",\"size\":", size == sizes_.end() ? 0 : size->second, ",\"digest\":");
  AppendJsonString(out, Digest(model));
  out += ',';
  AppendDetails(model, out);
  return out;
}

void OllamaDialect::ListModels(const HttpRequest& request, ResponseWriter& writer) const {
  std::string out = "{\"models\":[";
  for (const ModelInfo& model : ModelsFor(request, context_.router)) {
    if (out.back() != '[') out += ',';
    absl::StrAppend(&out, ModelMembers(model), ",\"modified_at\":\"", OllamaTime(model.created),
                    "\"}");
  }
  writer.Send(Json(out + "]}"));
}

void OllamaDialect::ListRunning(const HttpRequest& request, ResponseWriter& writer) const {
  std::set<std::string> ready;
  for (const ReplicaStatus& replica : context_.router.Replicas()) {
    if (replica.ready) ready.insert(replica.model);
  }
  std::string out = "{\"models\":[";
  for (const ModelInfo& model : ModelsFor(request, context_.router)) {
    if (!ready.contains(model.name)) continue;
    if (out.back() != '[') out += ',';
    absl::StrAppend(&out, ModelMembers(model), ",\"expires_at\":\"", kNeverExpires,
                    "\",\"size_vram\":0,\"context_length\":", model.context_tokens_max, "}");
  }
  writer.Send(Json(out + "]}"));
}

void OllamaDialect::Show(HttpRequest& request, ResponseWriter& writer) const {
  const auto parsed = ParseOllamaModel(request.body);
  if (const auto* refusal = std::get_if<OllamaRefusal>(&parsed)) {
    Refuse(request, refusal->message, writer);
    return;
  }
  const std::optional<ModelInfo> model = FindModel(std::get<std::string>(parsed), request, writer);
  if (!model) return;
  std::string out = "{\"modelfile\":\"\",\"parameters\":\"\",\"template\":\"\",";
  AppendDetails(*model, out);
  out += ",\"model_info\":{\"general.architecture\":";
  AppendJsonString(out, model->architecture);
  out += ',';
  AppendJsonString(out, model->architecture + ".context_length");
  absl::StrAppend(&out, ":", model->context_tokens_max);
  if (model->embedding_size > 0) {
    out += ',';
    AppendJsonString(out, model->architecture + ".embedding_length");
    absl::StrAppend(&out, ":", model->embedding_size);
  }
  absl::StrAppend(&out, "},\"capabilities\":", std::string(CapabilitiesJson(*model)),
                  ",\"modified_at\":\"", OllamaTime(model->created), "\"}");
  writer.Send(Json(std::move(out)));
}

}  // namespace spillway
