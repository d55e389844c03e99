#include "runtime/dry_runs/places.h"

#include <gtest/gtest.h>

#include "ipc/limits.h"

namespace aioss::runtime {
namespace {

TEST(PlacesTest, AreTriedInTheirOrderAndOnlyTheEndOfDevicesTakesPart) {
  Places places({"cuda:1", "cuda:0", "cuda:1,cuda:0", "cpu"});
  EXPECT_EQ(places.now(), "cuda:1");
  EXPECT_FALSE(places.takes_what_fits()) << "the next may hold it whole";
  places.go_on();
  EXPECT_EQ(places.now(), "cuda:0");
  EXPECT_FALSE(places.takes_what_fits()) << "all of them together have more";
  places.go_on();
  EXPECT_TRUE(places.takes_what_fits()) << "only the CPU comes after";
  EXPECT_FALSE(places.is_last());
  places.go_on();
  EXPECT_EQ(places.now(), "cpu");
  EXPECT_TRUE(places.is_last());
}

TEST(PlacesTest, WhatFailedIsTriedInNoCompany) {
  Places places({"cuda:1", "cuda:0", "cuda:1,cuda:0", "cpu"});
  places.go_on_without_failed();
  EXPECT_EQ(places.now(), "cuda:0");
  EXPECT_TRUE(places.takes_what_fits()) << "the pair has a device that failed";
  places.go_on_without_failed();
  EXPECT_EQ(places.now(), "cpu");
}

TEST(PlacesTest, WithoutAnyDeviceLeftItIsTheCpu) {
  Places ordered({"cuda:0"});
  ordered.go_on_without_failed();
  EXPECT_EQ(ordered.now(), "cpu");
  EXPECT_TRUE(ordered.is_last());
  EXPECT_EQ(Places().now(), "cpu");
}

TEST(PlacesTest, APlaceHoldsWhileItsCandidatesAreThose) {
  Places places({"cuda:0"});
  EXPECT_TRUE(places.holds_among({"cuda:0"}));
  places.go_on_without_failed();
  EXPECT_TRUE(places.holds_among({"cuda:0"})) << "which were tried";
  EXPECT_TRUE(places.holds_among({"cpu"})) << "as it was taken out";
  EXPECT_FALSE(places.holds_among({"cuda:1"})) << "which nobody tried";
  EXPECT_FALSE(Places({"cpu"}).holds_among({"cuda:0", "cuda:0", "cpu"})) << "it may use a GPU now";
  EXPECT_FALSE(Places({"cuda:0"}).holds_among({"cuda:0", "cpu"})) << "it was ordered there";
  Places second({"cuda:1", "cuda:0", "cpu"});
  second.go_on();
  EXPECT_TRUE(second.holds_among({"cuda:0", "cpu"})) << "the first is lost";
}

TEST(PlacesTest, AnEngineThatFailsMayBeItsDevicesFaultAndABadFileIsNot) {
  EXPECT_TRUE(may_be_of_device({Code::kEngineFailed, "the driver is gone"}));
  EXPECT_TRUE(may_be_of_device({Code::kNoMemory, "all of it is taken"}));
  EXPECT_TRUE(may_be_of_device(
      {Code::kInvalidArgument, "there is no such device", std::string(ipc::kDeviceField)}));
  EXPECT_FALSE(may_be_of_device({Code::kInvalidArgument, "the file is cut off"}));
}

}  // namespace
}  // namespace aioss::runtime
