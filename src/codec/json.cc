#include "codec/json.h"

#include <algorithm>
#include <exception>
#include <string>
#include <utility>
#include <vector>

namespace aioss::codec {
namespace {

// "line 3, column 7" of a byte offset.
std::string place(std::string_view text, std::size_t offset) {
  std::size_t line = 1;
  std::size_t line_start = 0;
  offset = std::min(offset, text.size());
  for (std::size_t i = 0; i < offset; ++i) {
    if (text[i] == '\n') {
      ++line;
      line_start = i + 1;
    }
  }
  return "line " + std::to_string(line) + ", column " + std::to_string(offset - line_start + 1);
}

// The library's message without its prefix and without what it quotes of the document.
std::string reason(std::string_view message) {
  constexpr std::string_view kQuote = "; last read";
  message = message.substr(0, message.find(kQuote));
  const std::size_t dash = message.find(" - ");
  // Only a number that overflows is reported in another form, which quotes the number, however
  // long.
  if (dash == std::string_view::npos) return "a number is out of range";
  message.remove_prefix(dash + 3);
  return std::string(message);
}

// Builds the document as events come in, and stops at the first one that breaks a limit.
class Builder {
 public:
  using number_integer_t = Json::number_integer_t;
  using number_unsigned_t = Json::number_unsigned_t;
  using number_float_t = Json::number_float_t;
  using string_t = Json::string_t;
  using binary_t = Json::binary_t;

  Builder(std::string_view text, const JsonLimits& limits) : text_(text), limits_(limits) {}

  bool null() { return add(nullptr); }
  bool boolean(bool value) { return add(value); }
  bool number_integer(number_integer_t value) { return add(value); }
  bool number_unsigned(number_unsigned_t value) { return add(value); }
  bool number_float(number_float_t value, const string_t&) { return add(value); }
  bool string(string_t& value) { return add(std::move(value)); }
  bool binary(binary_t&) { return fail("binary values are not JSON"); }

  bool start_object(std::size_t) { return open(Json::object()); }
  bool end_object() { return close(); }
  bool start_array(std::size_t) { return open(Json::array()); }
  bool end_array() { return close(); }

  bool key(string_t& name) {
    Json& object = *open_.back();
    if (object.contains(name)) return fail("an object has the same key twice");
    slot_ = &object[std::move(name)];
    return true;
  }

  bool parse_error(std::size_t position, const std::string&, const Json::exception& error) {
    // The library counts the bytes it has read, so the one at fault is the last of them.
    const bool early = position > text_.size();
    const std::size_t offset = position == 0 ? 0 : position - 1;
    return fail(place(text_, offset) + ": " +
                (early ? std::string("the document ends early") : reason(error.what())));
  }

  Json take() { return std::move(root_); }
  const std::string& problem() const { return problem_; }

 private:
  bool fail(std::string problem) {
    problem_ = std::move(problem);
    return false;
  }

  Json* put(Json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    Json& parent = *open_.back();
    if (parent.is_array()) {
      parent.push_back(std::move(value));
      return &parent.back();
    }
    *slot_ = std::move(value);
    return slot_;
  }

  bool add(Json value) {
    if (++nodes_ > limits_.nodes_max) {
      return fail("more than " + std::to_string(limits_.nodes_max) + " values");
    }
    last_ = put(std::move(value));
    return true;
  }

  bool open(Json value) {
    if (open_.size() >= limits_.depth_max) {
      return fail("nested more than " + std::to_string(limits_.depth_max) + " deep");
    }
    if (!add(std::move(value))) return false;
    open_.push_back(last_);
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  std::string_view text_;
  const JsonLimits& limits_;
  Json root_;
  // Containers being filled, outermost first. Each points into the one before it, whose own storage
  // does not move until this one is closed.
  std::vector<Json*> open_;
  Json* slot_ = nullptr;  // where the value of the last key goes
  Json* last_ = nullptr;
  std::size_t nodes_ = 0;
  std::string problem_;
};

template <typename Document>
std::string dump(const Document& value) {
  return value.dump(-1, ' ', false, Document::error_handler_t::replace);
}

}  // namespace

Result<Json> parse_json(std::string_view text, const JsonLimits& limits) {
  if (text.size() > limits.bytes_max) {
    return Error{Code::kTooLarge, "JSON of " + std::to_string(text.size()) +
                                      " bytes is over the limit of " +
                                      std::to_string(limits.bytes_max)};
  }
  Builder builder(text, limits);
  try {
    if (Json::sax_parse(text.begin(), text.end(), &builder)) return builder.take();
  } catch (const std::exception&) {  // the library's edge; only memory can be short here
    return Error{Code::kNoMemory, "not enough memory for this JSON; send a smaller document"};
  }
  return Error{Code::kInvalidArgument, "JSON: " + builder.problem()};
}

std::string dump_json(const Json& value) {
  return dump(value);
}
std::string dump_json(const OrderedJson& value) {
  return dump(value);
}

}  // namespace aioss::codec
