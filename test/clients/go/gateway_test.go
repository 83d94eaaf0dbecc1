// Package clients has the official Go SDKs as clients of a served gateway, at RHONE_BASE_URL with the key RHONE_KEY.
// It is run by go.test.ts, or by hand with `go test ./...`. The models are the scripted providers of ../../fake.
package clients

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
)

var (
	origin = os.Getenv("RHONE_BASE_URL")
	key    = os.Getenv("RHONE_KEY")
)

// One of each wire.
var providers = []string{"fakechat", "fakeresp", "fakeanth", "fakegem"}

// One transparent pixel.
const pixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
const pixelURL = "data:image/png;base64," + pixel

func pixelBytes() []byte {
	bytes, err := base64.StdEncoding.DecodeString(pixel)
	if err != nil {
		panic(err)
	}
	return bytes
}

const weatherTool = "get_weather"

var weatherSchema = map[string]any{
	"type":                 "object",
	"properties":           map[string]any{"city": map[string]any{"type": "string"}},
	"required":             []string{"city"},
	"additionalProperties": false,
}

var placeSchema = map[string]any{
	"type": "object",
	"properties": map[string]any{
		"city":    map[string]any{"type": "string"},
		"degrees": map[string]any{"type": "integer"},
	},
	"required":             []string{"city", "degrees"},
	"additionalProperties": false,
}

// What the script "json" answers.
const placeAnswer = `{"city":"Paris","degrees":21}`

// What the script "tools" answers to the results "fine in Paris" and "fine in Rome". Gemini has its results in an object.
func checkToolAnswer(t *testing.T, text string) {
	t.Helper()
	paris, rome := strings.Index(text, "fine in Paris"), strings.Index(text, "fine in Rome")
	if paris < 0 || rome < paris || !strings.HasPrefix(text, "It is ") {
		t.Fatalf("the results did not reach the model: %s", text)
	}
}

// What each script that fails says, with its status.
var refusals = []struct {
	script  string
	status  int
	message string
}{
	{"refuse", 400, "max_tokens is too large"},
	{"limited", 429, "Slow down"},
	{"broken", 500, "Internal trouble"},
}

// How each wire shows the pixel, and where it takes an output schema.
var (
	shownPixel = map[string]map[string]any{
		"fakechat": {"type": "image_url", "image_url": map[string]any{"url": pixelURL}},
		"fakeresp": {"type": "input_image", "image_url": pixelURL},
		"fakeanth": {"type": "image", "source": map[string]any{"type": "base64", "media_type": "image/png", "data": pixel}},
		"fakegem":  {"inlineData": map[string]any{"mimeType": "image/png", "data": pixel}},
	}
	shownSchema = map[string]map[string]any{
		"fakechat": {"type": "json_schema"},
		"fakeresp": {"type": "json_schema"},
		"fakeanth": {"type": "json_schema"},
		"fakegem":  {"responseMimeType": "application/json"},
	}
)

// checkShown fails unless an object of the request that the provider mirrored has all members of `expected`, at any depth.
func checkShown(t *testing.T, mirrored string, expected map[string]any) {
	t.Helper()
	var request any
	if err := json.Unmarshal([]byte(mirrored), &request); err != nil {
		t.Fatalf("%v: %s", err, mirrored)
	}
	if !holds(request, expected) {
		t.Fatalf("%v is not in %s", expected, mirrored)
	}
}

func holds(value any, expected map[string]any) bool {
	switch value := value.(type) {
	case []any:
		for _, one := range value {
			if holds(one, expected) {
				return true
			}
		}
	case map[string]any:
		if includes(value, expected) {
			return true
		}
		for _, one := range value {
			if holds(one, expected) {
				return true
			}
		}
	}
	return false
}

func includes(value, expected map[string]any) bool {
	for name, member := range expected {
		inner, isObject := member.(map[string]any)
		found, foundObject := value[name].(map[string]any)
		if isObject && foundObject && includes(found, inner) {
			continue
		}
		if !reflect.DeepEqual(value[name], member) {
			return false
		}
	}
	return true
}

func same[T comparable](t *testing.T, found, expected T) {
	t.Helper()
	if found != expected {
		t.Fatalf("%v instead of %v", found, expected)
	}
}

func succeeds(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// eachProvider runs a check with each provider and both ways to an answer.
func eachProvider(t *testing.T, check func(t *testing.T, provider string, stream bool)) {
	for _, provider := range providers {
		for _, stream := range []bool{false, true} {
			name := provider + ", whole"
			if stream {
				name = provider + ", streamed"
			}
			t.Run(name, func(t *testing.T) { check(t, provider, stream) })
		}
	}
}

func cityOf(t *testing.T, arguments string) string {
	t.Helper()
	var parsed struct {
		City string `json:"city"`
	}
	succeeds(t, json.Unmarshal([]byte(arguments), &parsed))
	return parsed.City
}
