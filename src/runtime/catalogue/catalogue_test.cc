#include "runtime/catalogue/catalogue.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <fstream>

#include "base/strings.h"
#include "os/fixed_content.h"
#include "os/testing/fault_file_system.h"

namespace aioss::runtime {
namespace {

class CatalogueTest : public ::testing::Test {
 protected:
  CatalogueTest() {
    std::string pattern = ::testing::TempDir() + "aioss-catalogue-XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~CatalogueTest() override { std::filesystem::remove_all(directory_); }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  void add(const std::string& name, const std::string& content = "x") {
    std::ofstream(path(name)) << content;
  }
  // A stand-in for the CLI's parser: a file is the number of its context tokens, then aliases.
  static Result<ModelSettings> parse(std::string_view text, const std::string& file_name) {
    ModelSettings settings;
    for (const std::string_view word : split(text, ' ')) {
      if (word == "bad") return Error{Code::kUsage, file_name + ":1: unknown key 'bad'"};
      if (const auto number = parse_u64(word)) {
        settings.context_tokens = static_cast<std::uint32_t>(*number);
      } else {
        settings.aliases.emplace_back(word);
      }
    }
    return settings;
  }
  Catalogue scan_with(ModelSettingsMap settings, const std::string& allow = "") {
    auto scanned = scan_catalogue(fs_, {directory_, {}, true, std::move(settings), parse, allow});
    EXPECT_TRUE(scanned) << (scanned ? "" : scanned.error().message);
    return scanned ? *scanned : Catalogue{};
  }
  Catalogue scan(bool fake_models = false, std::vector<std::string> files = {}) {
    auto scanned = scan_catalogue(fs_, {directory_, std::move(files), fake_models});
    EXPECT_TRUE(scanned) << (scanned ? "" : scanned.error().message);
    return scanned ? *scanned : Catalogue{};
  }
  std::vector<std::string> names(const Catalogue& catalogue) {
    std::vector<std::string> all;
    for (const auto& [name, entry] : catalogue.models) all.push_back(name);
    return all;
  }
  bool noticed(const Catalogue& catalogue, std::string_view text) {
    return std::any_of(
        catalogue.notices.begin(), catalogue.notices.end(),
        [&](const std::string& notice) { return notice.find(text) != std::string::npos; });
  }

  os::RealFileSystem fs_;
  std::string directory_;
};

using Names = std::vector<std::string>;

TEST_F(CatalogueTest, NamesModelsByTheirFiles) {
  add("Tiny-1B.Q4_K_M.gguf", "12345");
  add("notes.txt");
  add("gguf");
  add("script.fake");
  const Catalogue catalogue = scan();
  ASSERT_EQ(names(catalogue), Names{"Tiny-1B.Q4_K_M"});
  const CatalogueEntry& entry = catalogue.models.begin()->second;
  EXPECT_EQ(entry.engine, "llama");
  EXPECT_EQ(entry.file_bytes, 5U);
  EXPECT_GT(entry.modified_unix_s, 1'600'000'000);
  EXPECT_TRUE(catalogue.notices.empty());
  EXPECT_EQ(names(scan(true)), (Names{"Tiny-1B.Q4_K_M", "script"}));
}

TEST_F(CatalogueTest, LeavesOutNamesThatAreNotSafe) {
  for (const char* name : {"my model.gguf", ".hidden.gguf", "-rf.gguf", "n\xc3\xa9.gguf",
                           "new\nline.gguf", "quote\".gguf", ".gguf"}) {
    add(name);
  }
  add("ok.gguf");
  const Catalogue catalogue = scan();
  EXPECT_EQ(names(catalogue), Names{"ok"});
  EXPECT_EQ(catalogue.notices.size(), 7U);
  for (const std::string& notice : catalogue.notices) {
    EXPECT_EQ(notice.find('\n'), std::string::npos) << "a file name forges a log line";
  }
}

TEST_F(CatalogueTest, LeavesOutWhatIsNoFile) {
  std::filesystem::create_directory(path("dir.gguf"));
  ASSERT_EQ(::mkfifo(path("pipe.gguf").c_str(), 0600), 0);
  std::filesystem::create_symlink(path("nowhere"), path("dangling.gguf"));
  const Catalogue catalogue = scan();
  EXPECT_TRUE(catalogue.models.empty());
  EXPECT_EQ(catalogue.notices.size(), 3U);
}

TEST_F(CatalogueTest, FollowsLinksOnceAndKeepsTheFile) {
  add("real", "first");
  add("other", "second");
  std::filesystem::create_symlink(path("real"), path("m.gguf"));
  const Catalogue catalogue = scan();
  ASSERT_EQ(names(catalogue), Names{"m"});
  auto opened = open_model(fs_, catalogue.models.begin()->second);
  ASSERT_TRUE(opened);
  std::filesystem::remove(path("m.gguf"));
  std::filesystem::create_symlink(path("other"), path("m.gguf"));
  Bytes content(5);
  ASSERT_TRUE((*opened)->files.front()->read_at(0, content));
  EXPECT_EQ(as_text(content), "first") << "a link swapped after opening changed the model";
}

TEST_F(CatalogueTest, SplitSetIsOneModelInOrder) {
  add("big-00002-of-00003.gguf", "22");
  add("big-00001-of-00003.gguf", "1");
  add("big-00003-of-00003.gguf", "333");
  add("not-1-of-2.gguf", "x");
  const Catalogue catalogue = scan();
  ASSERT_EQ(names(catalogue), (Names{"big", "not-1-of-2"}));
  const CatalogueEntry& entry = catalogue.models.at("big");
  EXPECT_FALSE(entry.problem);
  EXPECT_EQ(entry.file_bytes, 6U);
  auto opened = open_model(fs_, entry);
  ASSERT_TRUE(opened);
  ASSERT_EQ((*opened)->files.size(), 3U);
  EXPECT_EQ((*opened)->bytes(), 6U);
  for (std::size_t i = 0; i < 3; ++i) {
    Bytes content(1);
    ASSERT_TRUE((*opened)->files[i]->read_at(0, content));
    EXPECT_EQ(content[0], '1' + i);
  }
}

TEST_F(CatalogueTest, SplitSetWithAMissingPartSaysWhich) {
  add("big-00001-of-00003.gguf");
  add("big-00003-of-00003.gguf");
  const Catalogue catalogue = scan();
  ASSERT_EQ(names(catalogue), Names{"big"});
  const CatalogueEntry& entry = catalogue.models.at("big");
  ASSERT_TRUE(entry.problem);
  EXPECT_NE(entry.problem->message.find("part 2 of 3"), std::string::npos);
  EXPECT_EQ(entry.paths.size(), 2U) << "those that are there";
  const auto opened = open_model(fs_, entry);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, Code::kModelCorrupt);
}

TEST_F(CatalogueTest, AbsurdSplitsAreRefused) {
  add("a-00001-of-99999.gguf");
  add("b-00000-of-00002.gguf");
  add("c-00003-of-00002.gguf");
  const Catalogue catalogue = scan();
  // b and c are no parts: ordinary names.
  EXPECT_EQ(names(catalogue), (Names{"a", "b-00000-of-00002", "c-00003-of-00002"}));
  EXPECT_TRUE(catalogue.models.at("a").problem);
}

TEST_F(CatalogueTest, TwoFilesOfOneNameAreNoticed) {
  add("m.gguf");
  add("m.fake");
  add("s.gguf");
  add("s-00001-of-00001.gguf");
  const Catalogue catalogue = scan(true);
  EXPECT_EQ(names(catalogue), (Names{"m", "s"}));
  EXPECT_EQ(catalogue.notices.size(), 2U);
  EXPECT_TRUE(noticed(catalogue, "another file has the model name 'm'"));
}

TEST_F(CatalogueTest, SingleFilesGetSafeNames) {
  std::filesystem::create_directory(path("sub"));
  add("sub/my model.gguf", "123");
  add("sub/plain", "1");
  const Catalogue catalogue = scan(false, {path("sub/my model.gguf"), path("sub/plain")});
  EXPECT_EQ(names(catalogue), (Names{"my-model", "plain"}));
  for (const auto& [name, entry] : catalogue.models) EXPECT_TRUE(is_model_name(name));
  EXPECT_FALSE(scan_catalogue(fs_, {"", {path("nosuch.gguf")}, false}));
  EXPECT_FALSE(scan_catalogue(fs_, {"", {path("sub")}, false}));
}

TEST_F(CatalogueTest, SingleFileOfASplitSetBringsTheOthers) {
  add("big-00001-of-00002.gguf");
  add("big-00002-of-00002.gguf");
  const auto scanned = scan_catalogue(fs_, {"", {path("big-00001-of-00002.gguf")}, false});
  ASSERT_TRUE(scanned);
  EXPECT_EQ(scanned->models.at("big").paths.size(), 2U);
}

TEST_F(CatalogueTest, VanishedOrUnreadableFileIsAClearError) {
  add("m.gguf");
  add("n.gguf");
  const Catalogue catalogue = scan();
  std::filesystem::remove(path("m.gguf"));
  const auto gone = open_model(fs_, catalogue.models.at("m"));
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, Code::kNotFound);
  EXPECT_EQ(gone.error().message.find(directory_), std::string::npos) << "a path leaks";
  os::FaultFileSystem refusing(fs_);
  refusing.arm(os::FaultPoint::kOpen, {1, EACCES, true, {}});
  const auto unreadable = open_model(refusing, catalogue.models.at("n"));
  ASSERT_FALSE(unreadable);
  EXPECT_EQ(unreadable.error().code, Code::kIo);
  EXPECT_EQ(unreadable.error().message.find(directory_), std::string::npos) << "a path leaks";
}

TEST_F(CatalogueTest, OpenFilesTellWhetherTheyWereChanged) {
  add("x-00001-of-00002.gguf");
  add("x-00002-of-00002.gguf");
  const Catalogue before = scan();
  const auto opened = open_model(fs_, before.models.at("x"));
  ASSERT_TRUE(opened);
  const OpenModel& model = **opened;
  EXPECT_FALSE(model.was_changed());
  EXPECT_TRUE(model.is_of(before.models.at("x")));

  // Another file takes the name of a part: nothing happened to the one that is open.
  const std::string part = path("x-00002-of-00002.gguf");
  std::filesystem::rename(part, path("aside"));
  EXPECT_FALSE(model.is_of(scan().models.at("x"))) << "a part is missing";
  add("x-00002-of-00002.gguf");
  std::filesystem::last_write_time(part, std::filesystem::last_write_time(path("aside")));
  EXPECT_FALSE(model.was_changed());
  EXPECT_FALSE(model.is_of(scan().models.at("x")));

  std::filesystem::rename(path("aside"), part);
  EXPECT_TRUE(model.is_of(scan().models.at("x")));
  add("x-00002-of-00002.gguf", "longer");
  EXPECT_TRUE(model.was_changed());
  EXPECT_FALSE(model.is_of(scan().models.at("x")));
}

TEST_F(CatalogueTest, MissingDirectorySaysWhatToDo) {
  const auto scanned = scan_catalogue(fs_, {path("nosuch"), {}, false});
  ASSERT_FALSE(scanned);
  EXPECT_EQ(scanned.error().code, Code::kNotFound);
  EXPECT_NE(scanned.error().message.find("create it"), std::string::npos);
}

TEST_F(CatalogueTest, ModelNames) {
  for (const char* name : {"a", "A-b_c.d+e", "0"}) EXPECT_TRUE(is_model_name(name)) << name;
  for (const char* name : {"", ".", "..", "-a", "a/b", "a b", "a\\b", "a%2fb", "\xc3\xa9"}) {
    EXPECT_FALSE(is_model_name(name)) << name;
  }
  EXPECT_TRUE(is_model_name(std::string(kModelNameBytesMax, 'a')));
  EXPECT_FALSE(is_model_name(std::string(kModelNameBytesMax + 1, 'a')));
}

// ---- settings, aliases, the list of allowed files -----------------------------------------------

TEST_F(CatalogueTest, SettingsBesideTheFileAndOfTheServerWhichWin) {
  add("a.gguf");
  add("a.toml", "512 chat");
  add("b.gguf");
  ModelSettings own;
  own.threads = 3;
  own.aliases = {"fast"};
  const Catalogue catalogue = scan_with({{"a", own}});
  const ModelSettings& a = catalogue.models.at("a").settings;
  EXPECT_EQ(a.context_tokens, 512U);
  EXPECT_EQ(a.threads, 3U);
  EXPECT_EQ(a.aliases, (std::vector<std::string>{"fast", "chat"}));
  own.context_tokens = 1024;
  EXPECT_EQ(scan_with({{"a", own}}).models.at("a").settings.context_tokens, 1024U);
  EXPECT_EQ(catalogue.models.at("b").settings, ModelSettings());
  EXPECT_EQ(catalogue.aliases.at("chat"), "a");
  EXPECT_EQ(catalogue.aliases.at("fast"), "a");
}

TEST_F(CatalogueTest, AMistakeInSettingsKeepsTheModelFromLoading) {
  add("a.gguf");
  add("a.toml", "bad");
  const Catalogue catalogue = scan_with({});
  ASSERT_TRUE(catalogue.models.at("a").problem);
  EXPECT_NE(catalogue.models.at("a").problem->message.find("a.toml:1"), std::string::npos);
  EXPECT_TRUE(noticed(catalogue, "unknown key"));
}

TEST_F(CatalogueTest, AnAliasHidesNoModelAndIsOfOneOnly) {
  for (const char* name : {"a", "b", "c"}) add(std::string(name) + ".gguf");
  add("a.toml", "b one");
  add("c.toml", "one two");
  const Catalogue catalogue = scan_with({});
  EXPECT_EQ(catalogue.aliases.size(), 2U);
  EXPECT_EQ(catalogue.aliases.at("one"), "a");
  EXPECT_EQ(catalogue.aliases.at("two"), "c");
  EXPECT_TRUE(noticed(catalogue, "the alias of 'a'"));
  EXPECT_TRUE(noticed(catalogue, "the alias of 'c'"));
}

TEST_F(CatalogueTest, FilesThatAreNotListedMayNotBeLoaded) {
  add("a.gguf");
  add("b.gguf");
  add("allow", std::string(64, 'a') + "  a.gguf\n");
  const Catalogue catalogue = scan_with({}, path("allow"));
  ASSERT_TRUE(catalogue.allowed);
  EXPECT_FALSE(catalogue.models.at("a").problem);
  ASSERT_TRUE(catalogue.models.at("b").problem);
  EXPECT_EQ(catalogue.models.at("b").problem->code, Code::kForbidden);
  add("allow", "nonsense\n");
  EXPECT_FALSE(scan_catalogue(fs_, {directory_, {}, true, {}, {}, path("allow")}));
  EXPECT_FALSE(scan_catalogue(fs_, {directory_, {}, true, {}, {}, path("none")}));
}

TEST_F(CatalogueTest, DifferencesAreNamed) {
  for (const char* name : {"gone", "same", "other", "set"}) add(std::string(name) + ".gguf");
  const Catalogue before = scan_with({});
  std::filesystem::remove(path("gone.gguf"));
  add("new.gguf");
  add("other.gguf", "longer");
  add("set.toml", "512");
  add("allow", std::string(64, 'a') + "  a.gguf\n");
  const Catalogue after = scan_with({}, path("allow"));
  EXPECT_EQ(differences(before, after),
            (std::vector<std::string>{"vanished gone", "appeared new", "changed other",
                                      "changed set", "other list of allowed models"}));
  EXPECT_TRUE(differences(after, after).empty());
  add("same.toml", "bad");
  EXPECT_EQ(differences(after, scan_with({}, path("allow"))), std::vector<std::string>{})
      << "it may not be loaded, so why else does not matter";
  const Catalogue open = scan_with({});
  std::filesystem::remove(path("same.toml"));
  EXPECT_EQ(differences(open, scan_with({})), std::vector<std::string>{"changed same"});
}

TEST_F(CatalogueTest, AFileThatIsBeingWrittenIsNotOpened) {
  std::ofstream writer(path("a.gguf"));
  writer << "half" << std::flush;
  const os::Fd reader(::open(path("a.gguf").c_str(), O_RDONLY | O_CLOEXEC));
  if (!os::is_open_for_writing(reader.get())) {
    GTEST_SKIP() << "this file system has no leases";
  }
  const auto opened = open_model(fs_, scan().models.at("a"));
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("still being written"), std::string::npos);
  writer.close();
  EXPECT_TRUE(open_model(fs_, scan().models.at("a")));
}

TEST_F(CatalogueTest, AdaptersAreNoModels) {
  add("base.gguf");
  add("base.fake");
  add("pirate.lora.gguf");
  add("polite.lora.fake");
  add("bad name.lora.gguf");
  add(".lora.gguf");
  const Catalogue catalogue = scan(true);
  EXPECT_EQ(names(catalogue), Names{"base"});
  ASSERT_EQ(catalogue.adapters.size(), 2U);
  EXPECT_EQ(catalogue.adapters.at("pirate").engine, "llama");
  EXPECT_EQ(catalogue.adapters.at("polite").engine, "fake");
  EXPECT_TRUE(noticed(catalogue, "bad name.lora.gguf"));
  EXPECT_FALSE(scan(false).adapters.contains("polite"));
}

TEST_F(CatalogueTest, AModelHasTheAdaptersOfItsEngineOrThoseThatItLists) {
  add("any.gguf");
  add("some.gguf");
  add("a.lora.gguf");
  add("b.lora.gguf");
  add("c.lora.fake");
  ModelSettingsMap settings;
  settings["some"].adapters = Names{"b", "c", "gone"};
  const Catalogue catalogue = scan_with(settings);
  EXPECT_EQ(adapters_of(catalogue, catalogue.models.at("any")), (Names{"a", "b"}));
  EXPECT_EQ(adapters_of(catalogue, catalogue.models.at("some")), Names{"b"});
}

TEST_F(CatalogueTest, AdaptersThatComeAndGoAreTold) {
  add("a.lora.gguf");
  add("b.lora.gguf");
  const Catalogue before = scan();
  std::filesystem::remove(path("a.lora.gguf"));
  add("b.lora.gguf", "other");
  add("c.lora.gguf");
  std::vector<std::string> told = differences(before, scan());
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (Names{"appeared adapter c", "changed adapter b", "vanished adapter a"}));
}

TEST_F(CatalogueTest, AdaptersAreHeldToTheListToo) {
  add("a.lora.gguf");
  add("b.lora.gguf");
  add("list", std::string(64, 'a') + "  a.lora.gguf\n");
  const Catalogue catalogue = scan_with({}, path("list"));
  EXPECT_FALSE(catalogue.adapters.at("a").problem);
  ASSERT_TRUE(catalogue.adapters.at("b").problem);
  EXPECT_EQ(catalogue.adapters.at("b").problem->code, Code::kForbidden);
}

TEST_F(CatalogueTest, AnAdapterThatIsNamedByItsPathHasASafeName) {
  add("x y.lora.gguf");
  CatalogueOptions options;
  options.adapter_files = {path("x y.lora.gguf")};
  auto scanned = scan_catalogue(fs_, options);
  ASSERT_TRUE(scanned);
  EXPECT_EQ(adapter_name_of(path("x y.lora.gguf")), "x-y");
  EXPECT_TRUE(scanned->adapters.contains("x-y"));
}

}  // namespace
}  // namespace aioss::runtime
