package serve

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/device"
)

// metrics are those of a handler.
type metrics struct {
	handler  *Handler
	registry *prometheus.Registry
	own      []prometheus.Collector // of the registry
	text     http.Handler
	requests *prometheus.CounterVec
	times    *prometheus.HistogramVec
	waits    prometheus.Histogram
	stages   *prometheus.HistogramVec
}

// buckets are seconds, from a stage of a small picture to the time of an answer.
var buckets = []float64{0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60}

func newMetrics(h *Handler) (*metrics, error) {
	m := &metrics{
		handler:  h,
		registry: h.options.Registry,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "clipdet_requests_total", Help: "Requests, by route and status; 499 are clients that left.",
		}, []string{"route", "code"}),
		times: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "clipdet_request_seconds", Help: "Time of requests, with their bodies and waits.", Buckets: buckets,
		}, []string{"route"}),
		waits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "clipdet_wait_seconds", Help: "Time that pictures waited for the detector, decoded.", Buckets: buckets,
		}),
		stages: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "clipdet_stage_seconds", Help: "Time of the stages of pictures.", Buckets: buckets,
		}, []string{"stage"}),
	}
	m.own = []prometheus.Collector{m.requests, m.times, m.waits, m.stages, now{h}}
	if m.registry == nil {
		m.registry = prometheus.NewRegistry()
		m.own = append(m.own, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	}
	for i, c := range m.own {
		if err := m.registry.Register(c); err != nil {
			m.own = m.own[:i]
			m.close()
			return nil, err
		}
	}
	m.text = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m, nil
}

func (m *metrics) close() {
	for _, c := range m.own {
		m.registry.Unregister(c)
	}
}

// serve answers GET /metrics.
func (m *metrics) serve(w http.ResponseWriter, r *http.Request) error {
	m.text.ServeHTTP(w, r)
	return nil
}

func (m *metrics) request(route string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(status)).Inc()
	m.times.WithLabelValues(route).Observe(took.Seconds())
}

// picture notes a picture that took so long in the detector.
func (m *metrics) picture(took time.Duration, timings detect.Timings) {
	for stage, t := range timings {
		m.stages.WithLabelValues(detect.Stage(stage).String()).Observe(t.Seconds())
		took -= t
	}
	m.waits.Observe(max(0, took.Seconds()))
}

// now collects the numbers of this moment, and those that the detector counts.
type now struct{ h *Handler }

var (
	queueLength = prometheus.NewDesc("clipdet_queue_length", "Pictures, and requests without one, that wait or run.", nil, nil)
	queuePlaces = prometheus.NewDesc("clipdet_queue_places", "Most of clipdet_queue_length.", nil, nil)
	waiting     = prometheus.NewDesc("clipdet_detector_waiting", "Calls and pictures that wait for the detector.", nil, nil)
	pictures    = prometheus.NewDesc("clipdet_pictures_total", "Pictures whose boxes were embedded.", nil, nil)
	crops       = prometheus.NewDesc("clipdet_crops_total", "Crops that were embedded.", nil, nil)
	phrases     = prometheus.NewDesc("clipdet_phrases_total", "Phrases that were embedded.", nil, nil)
	waited      = prometheus.NewDesc("clipdet_detector_wait_seconds_total", "Time that calls have waited for the detector.", nil, nil)
	failures    = prometheus.NewDesc("clipdet_failures_total", "Calls of the detector that failed, by kind.", []string{"kind"}, nil)
	tensors     = prometheus.NewDesc("clipdet_live_tensors", "Tensors of the process.", nil, nil)
	keptNumber  = prometheus.NewDesc("clipdet_kept_regions", "Pictures whose regions are kept.", nil, nil)
	keptMemory  = prometheus.NewDesc("clipdet_kept_regions_bytes", "Memory of the kept regions on the device.", nil, nil)
	ready       = prometheus.NewDesc("clipdet_ready", "1 if the models worked when they were used or asked last, and the service doesn't end.", nil, nil)
	memory      = prometheus.NewDesc("clipdet_device_memory_bytes", "Memory of the GPU.", nil, nil)
	memoryUsed  = prometheus.NewDesc("clipdet_device_memory_used_bytes", "Memory of the GPU that is in use, by all programs.", nil, nil)
)

// Describe is of prometheus.Collector.
func (n now) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(n, to) }

// Collect is of prometheus.Collector.
func (n now) Collect(to chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		if m, err := prometheus.NewConstMetric(desc, kind, value, labels...); err == nil && !math.IsNaN(value) {
			to <- m
		}
	}
	stats := n.h.detector.Stats()
	number, bytes := n.h.kept.size()
	send(queueLength, prometheus.GaugeValue, float64(n.h.places.taken()))
	send(queuePlaces, prometheus.GaugeValue, float64(n.h.options.Queue))
	send(waiting, prometheus.GaugeValue, float64(stats.Queue))
	send(pictures, prometheus.CounterValue, float64(stats.Pictures))
	send(crops, prometheus.CounterValue, float64(stats.Crops))
	send(phrases, prometheus.CounterValue, float64(stats.Phrases))
	send(waited, prometheus.CounterValue, stats.Wait.Seconds())
	for kind, count := range stats.Failures {
		send(failures, prometheus.CounterValue, float64(count), kind)
	}
	send(tensors, prometheus.GaugeValue, float64(stats.LiveTensors))
	send(keptNumber, prometheus.GaugeValue, float64(number))
	send(keptMemory, prometheus.GaugeValue, float64(bytes))
	send(ready, prometheus.GaugeValue, n.h.ready.isReady())
	// A CPU's memory is that of the process, which has its own collector.
	gpu, err := device.Inspect(n.h.detector.Info().Device)
	if err == nil {
		send(memory, prometheus.GaugeValue, float64(gpu.Memory))
		send(memoryUsed, prometheus.GaugeValue, float64(gpu.InUse))
	} else if !errors.Is(err, detect.ErrDevice) {
		n.h.options.Logger.Warn("the GPU's memory can't be told", "error", err)
	}
}

// retryAfter returns when half of the queue will have ended, in seconds.
func (h *Handler) retryAfter() string {
	stats, each := h.detector.Stats(), 0.0
	for _, took := range stats.Timings {
		each += took.Seconds()
	}
	if stats.Pictures > 0 {
		each /= float64(stats.Pictures)
	}
	const most = 60
	return strconv.Itoa(int(min(max(1, math.Ceil(each*float64(h.places.taken())/2)), most)))
}
