#pragma once

#include "worker/text/jinja_heap.h"

namespace spillway::jinja {

// Sets the functions that every template has: Jinja's range, dict, namespace, joiner and cycler,
// and transformers' raise_exception and strftime_now.
void SetGlobalFunctions(Heap& heap, Scope& scope);

}  // namespace spillway::jinja
