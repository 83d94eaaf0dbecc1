package clients

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/anthropics/anthropic-sdk-go/option"
)

var anthropicClient = anthropic.NewClient(option.WithBaseURL(origin), option.WithAPIKey(key), option.WithMaxRetries(0))

func message(stream bool, params anthropic.MessageNewParams) (*anthropic.Message, error) {
	if !stream {
		return anthropicClient.Messages.New(context.Background(), params)
	}
	events := anthropicClient.Messages.NewStreaming(context.Background(), params)
	var joined anthropic.Message
	for events.Next() {
		if err := joined.Accumulate(events.Current()); err != nil {
			return nil, err
		}
	}
	return &joined, events.Err()
}

func messageSaying(model string, blocks ...anthropic.ContentBlockParamUnion) anthropic.MessageNewParams {
	if len(blocks) == 0 {
		blocks = append(blocks, anthropic.NewTextBlock("hello"))
	}
	return anthropic.MessageNewParams{
		Model: model, MaxTokens: 1000, Messages: []anthropic.MessageParam{anthropic.NewUserMessage(blocks...)},
	}
}

func textOf(answer *anthropic.Message) string {
	var text strings.Builder
	for _, block := range answer.Content {
		text.WriteString(block.Text)
	}
	return text.String()
}

func TestMessages(t *testing.T) {
	eachProvider(t, func(t *testing.T, provider string, stream bool) {
		t.Run("an answer has its text and its token counts", func(t *testing.T) {
			answer, err := message(stream, messageSaying(provider+"/say"))
			succeeds(t, err)
			same(t, textOf(answer), "Said say.")
			same(t, answer.StopReason, anthropic.StopReasonEndTurn)
			same(t, answer.Usage.InputTokens+answer.Usage.CacheReadInputTokens, 12)
			same(t, answer.Usage.OutputTokens, 5)
		})

		t.Run("tools run in parallel, and the model goes on with their results", func(t *testing.T) {
			params := messageSaying(provider + "/tools")
			params.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{
				Name: weatherTool, InputSchema: anthropic.ToolInputSchemaParam{Properties: weatherSchema["properties"]},
			}}}
			answer, err := message(stream, params)
			succeeds(t, err)
			same(t, answer.StopReason, anthropic.StopReasonToolUse)
			var results []anthropic.ContentBlockParamUnion
			for _, block := range answer.Content {
				if block.Type == "tool_use" {
					same(t, block.Name, weatherTool)
					result := "fine in " + cityOf(t, string(block.Input))
					results = append(results, anthropic.NewToolResultBlock(block.ID, result, false))
				}
			}
			params.Messages = append(params.Messages, answer.ToParam(), anthropic.NewUserMessage(results...))
			answer, err = message(stream, params)
			succeeds(t, err)
			checkToolAnswer(t, textOf(answer))
		})

		t.Run("images reach the provider", func(t *testing.T) {
			picture := anthropic.NewImageBlockBase64("image/png", pixel)
			question := anthropic.NewTextBlock("What is this?")
			answer, err := message(stream, messageSaying(provider+"/mirror", question, picture))
			succeeds(t, err)
			checkShown(t, textOf(answer), shownPixel[provider])
		})

		t.Run("an answer has the form of a schema", func(t *testing.T) {
			ask := func(script string) string {
				params := messageSaying(provider + "/" + script)
				params.OutputConfig.Format.Schema = placeSchema
				answer, err := message(stream, params)
				succeeds(t, err)
				return textOf(answer)
			}
			same(t, ask("json"), placeAnswer)
			checkShown(t, ask("mirror"), shownSchema[provider])
		})

		t.Run("a failure is the SDK's own error", func(t *testing.T) {
			for _, refusal := range refusals {
				_, err := message(stream, messageSaying(provider+"/"+refusal.script))
				var failure *anthropic.Error
				if !errors.As(err, &failure) {
					t.Fatalf("no error of the API: %v", err)
				}
				same(t, failure.StatusCode, refusal.status)
				if !strings.Contains(failure.RawJSON(), refusal.message) {
					t.Fatalf("no %q in %s", refusal.message, failure.RawJSON())
				}
			}
		})
	})
}
