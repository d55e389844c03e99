// QR codes, drawn and read back: what the picture says by a reader of others (ZBar's zbarimg), and
// that drawings in a terminal are of the same code.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

#include "cli/qr_picture.h"
#include "os/file.h"
#include "os/process.h"

namespace aioss::cli {
namespace {

constexpr const char* kReader = "/usr/bin/zbarimg";

std::string some_bytes(std::size_t count) {
  // What a request is made of: base64 and line feeds, a dash of three bytes, spaces.
  constexpr std::string_view kPattern =
      "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
      "\n\xE2\x80\x94 example.com/behind-the-sofa Az3grlgtzPICa5OS";
  std::string out;
  for (std::size_t i = 0; i < count; ++i) out += kPattern[(i * 7 + i / 31) % kPattern.size()];
  return out;
}

// Whole characters only: the reader takes bytes for text.
std::string some_text(std::size_t count) {
  std::string out;
  for (int i = 1; out.size() + 6 <= count; ++i) out += i % 7 == 0 ? "\xE2\x80\x94" : "q+/\nA=";
  while (out.size() < count) out += 'x';
  return out;
}

TEST(QrCode, HoldsWhatItSaysItHolds) {
  EXPECT_FALSE(make_qr_code("").has_value());
  EXPECT_EQ(make_qr_code("x")->modules, 21U);
  EXPECT_EQ(make_qr_code(some_bytes(kQrBytesMax))->modules, 177U);
  const auto too_large = make_qr_code(some_bytes(kQrBytesMax + 1));
  ASSERT_FALSE(too_large.has_value());
  EXPECT_EQ(too_large.error().code, Code::kTooLarge);
}

TEST(QrCode, HasItsCornersAndAQuietZone) {
  const QrCode code = *make_qr_code(some_bytes(200));
  const std::size_t last = code.modules - 1;
  for (const auto& [row, column] : std::vector<std::pair<std::size_t, std::size_t>>{
           {0, 0}, {0, last}, {last, 0}, {6, 6}, {3, 3}}) {
    EXPECT_TRUE(code.is_dark(row, column));
  }
  EXPECT_FALSE(code.is_dark(1, 1));
  EXPECT_FALSE(code.is_dark(7, 0));
  EXPECT_FALSE(code.is_dark(code.modules, 0));
  EXPECT_FALSE(code.is_dark(static_cast<std::size_t>(-1), 0));
}

// The modules of a drawing: true where a block is.
std::vector<std::vector<bool>> blocks_of(std::string_view drawing) {
  std::vector<std::vector<bool>> rows(2);
  for (std::size_t at = 0; at < drawing.size();) {
    const std::string_view rest = drawing.substr(at);
    const bool upper = rest.starts_with("█") || rest.starts_with("▀");
    const bool lower = rest.starts_with("█") || rest.starts_with("▄");
    if (rest.front() == '\n') {
      rows.emplace_back();
      rows.emplace_back();
      ++at;
      continue;
    }
    EXPECT_TRUE(upper || lower || rest.front() == ' ');
    rows[rows.size() - 2].push_back(upper);
    rows[rows.size() - 1].push_back(lower);
    at += upper || lower ? std::string_view("█").size() : 1;
  }
  rows.resize(rows.size() - 2);
  return rows;
}

TEST(QrDrawing, IsOfTheCodeWithAQuietZone) {
  const QrCode code = *make_qr_code(some_bytes(200));
  const auto dark = blocks_of(draw_qr(code, QrInk::kDark));
  const auto light = blocks_of(draw_qr(code, QrInk::kLight));
  ASSERT_EQ(dark.size(), qr_columns(code) + 1);
  for (std::size_t row = 0; row < dark.size(); ++row) {
    ASSERT_EQ(dark[row].size(), qr_columns(code));
    for (std::size_t column = 0; column < dark[row].size(); ++column) {
      EXPECT_EQ(dark[row][column], code.is_dark(row - kQuietModules, column - kQuietModules));
      EXPECT_NE(dark[row][column], light[row][column]);
    }
  }
}

TEST(QrDrawing, InColourSaysBothColours) {
  const QrCode code = *make_qr_code("x");
  std::string drawing = draw_qr(code, QrInk::kColor);
  const std::string begin = "\x1b[38;5;16;48;5;231m", end = "\x1b[0m";
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = drawing.find(begin, at)) != std::string::npos; ++lines) {
    drawing.erase(at, begin.size());
  }
  EXPECT_EQ(lines, (qr_columns(code) + 1) / 2);
  for (std::size_t at = 0; (at = drawing.find(end, at)) != std::string::npos;) {
    drawing.erase(at, end.size());
  }
  EXPECT_EQ(drawing, draw_qr(code, QrInk::kDark));
}

// What zbarimg reads in a picture.
std::string read_by_others(const std::string& path) {
  int ends[2];
  EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const os::Fd reader(ends[0]);
  os::Fd writer(ends[1]);
  os::SpawnOptions spawning;
  spawning.executable = kReader;
  spawning.arguments = {"zbarimg", "--quiet", "--raw", "--nodbus", "--oneshot", "-Sbinary", path};
  spawning.descriptors = {{STDOUT_FILENO, writer.get()}};
  auto child = os::Child::spawn(spawning);
  if (!child) return "no reader: " + child.error().message;
  writer.reset();
  std::string out;
  std::array<char, 4096> chunk{};
  for (;;) {
    const ssize_t got = ::read(reader.get(), chunk.data(), chunk.size());
    if (got <= 0) break;
    out.append(chunk.data(), static_cast<std::size_t>(got));
  }
  EXPECT_TRUE(child->wait_for(std::chrono::milliseconds(-1))->success());
  return out;
}

TEST(QrPicture, IsReadBackByAnotherProgram) {
  os::RealFileSystem files;
  if (!files.info(kReader)) {
    GTEST_SKIP() << kReader << " is absent: NOBODY HAS READ THE QR CODES BACK. Install zbar-tools.";
  }
  const std::string path = testing::TempDir() + "aioss-qr-" + std::to_string(::getpid()) + ".png";
  std::size_t read = 0;
  for (const std::size_t size :
       {1U, 17U, 60U, 190U, 231U, 600U, 1'200U, 2'000U, 2'331U, 2'332U, 2'700U, 2'953U}) {
    const std::string text = some_text(size);
    ASSERT_EQ(text.size(), size);
    const auto code = make_qr_code(text);
    ASSERT_TRUE(code.has_value()) << size;
    const Bytes png = qr_png(*code);
    ASSERT_TRUE(os::replace_file(files, path, png).has_value());
    EXPECT_EQ(read_by_others(path), text) << size;
    ++read;
  }
  (void)files.remove(path);
  std::printf("%zu QR codes read back by zbarimg\n", read);
}

}  // namespace
}  // namespace aioss::cli
