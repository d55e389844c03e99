// Test-only: cuts a GGUF file into parts, as llama.cpp's gguf-split does. The first part has all
// metadata; every part says which it is. Trusts its input.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "os/file.h"

namespace aioss::engines::llama {

class Splitter final {
 public:
  explicit Splitter(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    all_.assign(std::istreambuf_iterator<char>(file), {});
    take<std::uint32_t>();  // magic
    version_ = take<std::uint32_t>();
    const auto tensors = take<std::uint64_t>();
    entries_ = take<std::uint64_t>();
    const std::size_t metadata = at_;
    for (std::uint64_t i = 0; i < entries_; ++i) skip_entry();
    metadata_ = all_.substr(metadata, at_ - metadata);
    for (std::uint64_t i = 0; i < tensors; ++i) tensors_.push_back(take_tensor());
    const std::size_t data = (at_ + kAlignment - 1) / kAlignment * kAlignment;
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      // They lie in the table's order, so the next one, or the file's end, ends each.
      const bool last = i + 1 == tensors_.size();
      const std::size_t end = last ? all_.size() : data + tensors_[i + 1].offset;
      tensors_[i].data =
          std::string_view(all_).substr(data + tensors_[i].offset, end - data - tensors_[i].offset);
    }
  }

  std::size_t tensors() const { return tensors_.size(); }

  // Part `number` of `count`, with the tensors [from, to).
  os::Fd part(std::uint16_t number, std::uint16_t count, std::size_t from, std::size_t to) const {
    std::string out = "GGUF";
    append(out, version_);
    append(out, std::uint64_t{to - from});
    append(out, (number == 0 ? entries_ : 0) + std::uint64_t{3});
    if (number == 0) out += metadata_;
    add_entry(out, "split.no", 2, number);
    add_entry(out, "split.count", 2, count);
    add_entry(out, "split.tensors.count", 5, static_cast<std::int32_t>(tensors_.size()));
    std::uint64_t offset = 0;
    for (std::size_t i = from; i < to; ++i) {
      out += tensors_[i].head;
      append(out, offset);
      offset += (tensors_[i].data.size() + kAlignment - 1) / kAlignment * kAlignment;
    }
    pad(out);
    for (std::size_t i = from; i < to; ++i) {
      out += tensors_[i].data;
      pad(out);
    }
    return in_memory(out);
  }

 private:
  static constexpr std::size_t kAlignment = 32;  // what the test models have

  struct Tensor {
    std::string head;  // of its entry in the table, without the offset
    std::uint64_t offset = 0;
    std::string_view data;
  };

  template <typename T>
  T take() {
    T value{};
    std::memcpy(&value, all_.data() + at_, sizeof value);
    at_ += sizeof value;
    return value;
  }
  void skip_text() {
    const auto size = take<std::uint64_t>();
    at_ += size;
  }
  void skip_value(std::uint32_t type) {
    constexpr std::size_t kSizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) return skip_text();
    if (type != 9) {
      at_ += kSizes[type];
      return;
    }
    const auto inner = take<std::uint32_t>();
    const auto count = take<std::uint64_t>();
    for (std::uint64_t i = 0; i < count; ++i) skip_value(inner);
  }
  void skip_entry() {
    skip_text();
    skip_value(take<std::uint32_t>());
  }
  Tensor take_tensor() {
    Tensor tensor;
    const std::size_t begin = at_;
    skip_text();
    const auto dimensions = take<std::uint32_t>();
    at_ += dimensions * sizeof(std::uint64_t) + sizeof(std::uint32_t);
    tensor.head = all_.substr(begin, at_ - begin);
    tensor.offset = take<std::uint64_t>();
    return tensor;
  }

  template <typename T>
  static void append(std::string& out, T value) {
    out.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  template <typename T>
  static void add_entry(std::string& out, std::string_view key, std::uint32_t type, T value) {
    append(out, std::uint64_t{key.size()});
    out += key;
    append(out, type);
    append(out, value);
  }
  static void pad(std::string& out) {
    out.resize((out.size() + kAlignment - 1) / kAlignment * kAlignment);
  }
  static os::Fd in_memory(const std::string& bytes) {
    os::Fd fd(::memfd_create("part", MFD_CLOEXEC));
    for (std::size_t at = 0; at < bytes.size();) {
      const ssize_t n = ::write(fd.get(), bytes.data() + at, bytes.size() - at);
      EXPECT_GT(n, 0);
      if (n <= 0) break;
      at += static_cast<std::size_t>(n);
    }
    return fd;
  }

  std::string all_, metadata_;
  std::size_t at_ = 0;
  std::uint32_t version_ = 0;
  std::uint64_t entries_ = 0;
  std::vector<Tensor> tensors_;
};

}  // namespace aioss::engines::llama
