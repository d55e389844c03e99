#include "ipc/devices.h"

#include <gtest/gtest.h>

#include "codec/cbor.h"
#include "ipc/limits.h"
#include "ipc/plan.h"

namespace aioss::ipc {
namespace {

DevicesReport two_devices() {
  DevicesReport report;
  report.devices.push_back({"cuda", "cuda:0", "CUDA", "NVIDIA H100", false, false, 80, 79});
  report.devices.push_back({"cuda", "cpu", "CPU", "a processor", true, true, 16, 8});
  return report;
}

TEST(DevicesReport, ArrivesAsItWasSent) {
  const auto read = decode_devices_report(encode(two_devices()));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->devices, two_devices().devices);
  EXPECT_FALSE(read->error);
}

TEST(DevicesReport, ArrivesAsAnError) {
  DevicesReport report = two_devices();
  report.error = Error{Code::kUnsupported, "no driver"};
  const auto read = decode_devices_report(encode(report));
  ASSERT_TRUE(read);
  ASSERT_TRUE(read->error);
  EXPECT_EQ(read->error->message, "no driver");
  EXPECT_TRUE(read->devices.empty());
}

TEST(DevicesReport, IsBounded) {
  DevicesReport many;
  many.devices.resize(kDevicesMax + 1);
  EXPECT_FALSE(decode_devices_report(encode(many)));
  DevicesReport large = two_devices();
  large.devices[0].bytes_total = kPlanBytesMax + 1;
  EXPECT_FALSE(decode_devices_report(encode(large)));
  Bytes cut = encode(two_devices());
  cut.pop_back();
  EXPECT_FALSE(decode_devices_report(cut));
  EXPECT_FALSE(decode_devices_report({}));
}

TEST(PlanOfDevices, ArrivesAsItWasSent) {
  PlanAsk ask;
  ask.device = "cuda:0,cuda:1";
  ask.device_rooms = {5, 7};
  const auto asked = decode_plan_ask(encode(ask));
  ASSERT_TRUE(asked);
  EXPECT_EQ(*asked, ask);

  PlanReport report;
  report.asked.device = "cuda:0";
  report.asked.layers = {12, 3};
  report.asked.devices.push_back({"cuda:0", 1, 2, 3});
  const auto read = decode_plan_report(encode(report));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->asked, report.asked);
}

TEST(PlanOfDevices, IsBounded) {
  PlanAsk ask;
  ask.device_rooms.resize(kPlanDevicesMax + 1);
  EXPECT_FALSE(decode_plan_ask(encode(ask)));
  PlanReport report;
  for (const Layers& layers : {Layers{kGpuLayersMax + 1, 0}, Layers{{}, kGpuLayersMax + 1}}) {
    report.asked.layers = layers;
    EXPECT_FALSE(decode_plan_report(encode(report)));
  }
  report.asked.layers = {};
  report.asked.devices.push_back({"cuda:0", kPlanBytesMax + 1, 0, 0});
  EXPECT_FALSE(decode_plan_report(encode(report)));
}

}  // namespace
}  // namespace aioss::ipc
