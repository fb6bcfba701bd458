#pragma once

#include "router/router.h"

namespace spillway {

// Whom an operation asks whose request the workers here don't take, or let wait too long.
class Spiller {
 public:
  virtual ~Spiller() = default;
  // True: the request is answered from elsewhere; the operation writes nothing, now or later, and
  // lives on for a while. Requires that it has written nothing so far.
  virtual bool TakeOver(const GenerateError& why) = 0;
};

}  // namespace spillway
