// The places where the layers of one model are tried, in their order, and which of them it is now:
// the rule by which a load finds its place, and by which `aioss plan` says where that is. No
// thread of its own: whoever has it looks after that.
#pragma once

#include <string>
#include <vector>

#include "base/error.h"

namespace aioss::runtime {

// A place is "cpu", or devices with commas that share the layers.
class Places final {
 public:
  Places() : Places({"cpu"}) {}
  // As DeviceTable::candidates() has them: not empty.
  explicit Places(std::vector<std::string> in_order);

  const std::string& now() const { return places_.front(); }
  bool is_last() const { return places_.size() == 1; }
  // On any other it is all layers or none: the next may hold it whole.
  bool takes_what_fits() const { return is_last() || places_[1] == "cpu"; }

  void go_on();  // not on the last: it does not fit where it is
  // What it is tried on, which is not the CPU, failed: on without any of its devices, on the CPU if
  // nothing else is left.
  void go_on_without_failed();

  // Whether it would come to this place, and with the same right to it, where `in_order` are its
  // candidates: it was tried on all those before, and is on the last if it was.
  bool holds_among(const std::vector<std::string>& in_order) const;

 private:
  std::vector<std::string> in_order_;  // all that there were
  std::vector<std::string> places_;    // what is left of them, or the CPU
};

// Whether `error`, of a dry run on devices, may be theirs: the model may do without them.
bool may_be_of_device(const Error& error);

}  // namespace aioss::runtime
