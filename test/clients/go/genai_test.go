package clients

import (
	"context"
	"errors"
	"strings"
	"testing"

	"google.golang.org/genai"
)

var once = &genai.HTTPRetryOptions{Attempts: genai.Ptr(int32(1))}

// generate has all parts of an answer, and its last chunk.
func generate(
	t *testing.T, stream bool, model string, contents []*genai.Content, config *genai.GenerateContentConfig,
) ([]*genai.Part, *genai.GenerateContentResponse, error) {
	t.Helper()
	client, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey: key, Backend: genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: origin, RetryOptions: once},
	})
	succeeds(t, err)
	if !stream {
		answer, err := client.Models.GenerateContent(context.Background(), model, contents, config)
		if err != nil {
			return nil, nil, err
		}
		return answer.Candidates[0].Content.Parts, answer, nil
	}
	var parts []*genai.Part
	var last *genai.GenerateContentResponse
	for chunk, err := range client.Models.GenerateContentStream(context.Background(), model, contents, config) {
		if err != nil {
			return nil, nil, err
		}
		last = chunk
		for _, candidate := range chunk.Candidates {
			if candidate.Content != nil {
				parts = append(parts, candidate.Content.Parts...)
			}
		}
	}
	return parts, last, nil
}

func textOfParts(parts []*genai.Part) string {
	var text strings.Builder
	for _, part := range parts {
		text.WriteString(part.Text)
	}
	return text.String()
}

func TestGenerateContent(t *testing.T) {
	eachProvider(t, func(t *testing.T, provider string, stream bool) {
		t.Run("an answer has its text and its token counts", func(t *testing.T) {
			parts, last, err := generate(t, stream, provider+"/say", genai.Text("hello"), nil)
			succeeds(t, err)
			same(t, textOfParts(parts), "Said say.")
			same(t, last.Candidates[0].FinishReason, genai.FinishReasonStop)
			same(t, last.UsageMetadata.PromptTokenCount, 12)
			same(t, last.UsageMetadata.CandidatesTokenCount, 5)
			same(t, last.UsageMetadata.CachedContentTokenCount, 4)
		})

		t.Run("tools run in parallel, and the model goes on with their results", func(t *testing.T) {
			config := &genai.GenerateContentConfig{Tools: []*genai.Tool{{FunctionDeclarations: []*genai.FunctionDeclaration{
				{Name: weatherTool, ParametersJsonSchema: weatherSchema},
			}}}}
			contents := genai.Text("hello")
			parts, _, err := generate(t, stream, provider+"/tools", contents, config)
			succeeds(t, err)
			var results []*genai.Part
			for _, part := range parts {
				if call := part.FunctionCall; call != nil {
					same(t, call.Name, weatherTool)
					result := genai.NewPartFromFunctionResponse(call.Name, map[string]any{"result": "fine in " + call.Args["city"].(string)})
					result.FunctionResponse.ID = call.ID
					results = append(results, result)
				}
			}
			contents = append(contents,
				genai.NewContentFromParts(parts, genai.RoleModel), genai.NewContentFromParts(results, genai.RoleUser))
			parts, _, err = generate(t, stream, provider+"/tools", contents, config)
			succeeds(t, err)
			checkToolAnswer(t, textOfParts(parts))
		})

		t.Run("images reach the provider", func(t *testing.T) {
			question := []*genai.Part{genai.NewPartFromText("What is this?"), genai.NewPartFromBytes(pixelBytes(), "image/png")}
			contents := []*genai.Content{genai.NewContentFromParts(question, genai.RoleUser)}
			parts, _, err := generate(t, stream, provider+"/mirror", contents, nil)
			succeeds(t, err)
			checkShown(t, textOfParts(parts), shownPixel[provider])
		})

		t.Run("an answer has the form of a schema", func(t *testing.T) {
			ask := func(script string) string {
				config := &genai.GenerateContentConfig{ResponseMIMEType: "application/json", ResponseJsonSchema: placeSchema}
				parts, _, err := generate(t, stream, provider+"/"+script, genai.Text("hello"), config)
				succeeds(t, err)
				return textOfParts(parts)
			}
			same(t, ask("json"), placeAnswer)
			checkShown(t, ask("mirror"), shownSchema[provider])
		})

		t.Run("a failure is the SDK's own error", func(t *testing.T) {
			for _, refusal := range refusals {
				_, _, err := generate(t, stream, provider+"/"+refusal.script, genai.Text("hello"), nil)
				var failure genai.APIError
				if !errors.As(err, &failure) {
					t.Fatalf("no error of the API: %v", err)
				}
				same(t, failure.Code, refusal.status)
				same(t, failure.Message, refusal.message)
			}
		})
	})
}
