#pragma once

#include <functional>
#include <memory>

#include "router/generate_request.h"
#include "server/dialects/dialect_context.h"
#include "server/dialects/single_answer.h"
#include "server/http/http_types.h"

namespace spillway {

using MakeAnswerFormat = std::function<std::unique_ptr<AnswerFormat>()>;

// Has a request of one choice answered: by the workers here, by providers, or by whichever of them
// can (router/spill_policy.h). What it returns is as HttpHandler::Handle() has it; all that
// `make_format` refers to must outlive that.
std::unique_ptr<HttpOperation> AnswerSingly(const DialectContext& context, HttpRequest& http,
                                            GenerateRequest request, bool stream,
                                            const MakeAnswerFormat& make_format,
                                            ResponseWriter& writer);

}  // namespace spillway
