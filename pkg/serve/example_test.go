package serve_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"time"

	"github.com/clipdet/clipdet/pkg/detect"
	"github.com/clipdet/clipdet/pkg/model/builtin"
	"github.com/clipdet/clipdet/pkg/results"
	"github.com/clipdet/clipdet/pkg/serve"
)

// A program of one's own has the service under a prefix, behind its own way to tell who
// asks. For traces it would wrap the handler likewise, in otelhttp.NewHandler.
func Example() {
	detector, err := detect.Open(context.Background(), detect.Options{Models: builtin.Models(), TextMemory: 10_000})
	if err != nil {
		log.Fatal(err)
	}
	defer detector.Close()
	handler, err := serve.New(detector, serve.Options{Queue: 32, Time: 5 * time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer handler.Close()

	known := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if user, password, ok := r.BasicAuth(); !ok || user != "ada" || password != "engine" {
				w.WriteHeader(http.StatusForbidden)
				return
			}
			next.ServeHTTP(w, r)
		})
	}
	mux := http.NewServeMux()
	mux.Handle("/find/", known(http.StripPrefix("/find", handler)))
	server := httptest.NewServer(mux)
	defer server.Close()

	picture, err := os.ReadFile("../../testdata/photos/coffee.jpg")
	if err != nil {
		log.Fatal(err)
	}
	ask := func(user string) (int, []byte) {
		request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, server.URL+"/find/v1/detect?q=cup%3Da+cup+of+coffee&top_k=1", bytes.NewReader(picture))
		if err != nil {
			log.Fatal(err)
		}
		request.SetBasicAuth(user, "engine")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			log.Fatal(err)
		}
		return response.StatusCode, body
	}
	status, _ := ask("eve")
	fmt.Println("eve:", status)
	status, body := ask("ada")
	var record results.Record
	if err := json.Unmarshal(body, &record); err != nil {
		log.Fatal(err)
	}
	for _, d := range record.Detections {
		fmt.Printf("ada: %d, %s, at least 0.8: %v\n", status, d.Query, d.Score >= 0.8)
	}
	// Output:
	// eve: 403
	// ada: 200, cup, at least 0.8: true
}
