// Shows what models, workers and memory are doing: to all other threads (models/model_view.h) and
// as gauges. Changes nothing. Runtime thread only.
#pragma once

#include "base/clock.h"
#include "base/metrics.h"
#include "memory/pool.h"
#include "runtime/lives/worker_gauges.h"
#include "runtime/models/model_table.h"
#include "runtime/models/model_view.h"
#include "runtime/room/books.h"
#include "runtime/room/residency.h"
#include "runtime/room/room.h"

namespace aioss::runtime {

class Board final {
 public:
  struct Parts {  // all outlive it
    const Clock& clock;
    MetricRegistry& metrics;
    ModelView& view;
    const ModelTable& models;
    const memory::Pool& pool;
    Books& books;
    const Room& room;
    const Residency& residency;
  };
  explicit Board(const Parts& parts);

  void show(const Model& model);            // its state
  void show_residence(const Model& model);  // how long it stays
  void show_load(const Model& model);       // what it has to do
  void show_totals();                       // that of all, what workers say, and the books

 private:
  void show_memory();
  void complete(MemoryOfModel& shown) const;

  const Parts parts_;
  Gauge& workers_;
  Gauge& queue_;
  Gauge& running_;
  WorkerGauges of_workers_;
};

}  // namespace aioss::runtime
