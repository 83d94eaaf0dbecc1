package clients

import (
	"context"
	"errors"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/responses"
)

func respond(stream bool, params responses.ResponseNewParams) (*responses.Response, error) {
	if !stream {
		return openaiClient.Responses.New(context.Background(), params)
	}
	events := openaiClient.Responses.NewStreaming(context.Background(), params)
	var final *responses.Response
	for events.Next() {
		if event := events.Current(); event.Type == "response.completed" {
			response := event.Response
			final = &response
		}
	}
	if err := events.Err(); err != nil {
		return nil, err
	}
	if final == nil {
		return nil, errors.New("the stream has no response.completed")
	}
	return final, nil
}

func responsesSaying(model string) responses.ResponseNewParams {
	return responses.ResponseNewParams{
		Model: model,
		Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("hello")},
	}
}

func TestResponses(t *testing.T) {
	eachProvider(t, func(t *testing.T, provider string, stream bool) {
		t.Run("an answer has its text and its token counts", func(t *testing.T) {
			answer, err := respond(stream, responsesSaying(provider+"/say"))
			succeeds(t, err)
			same(t, answer.OutputText(), "Said say.")
			same(t, answer.Status, responses.ResponseStatusCompleted)
			same(t, answer.Usage.InputTokens, 12)
			same(t, answer.Usage.OutputTokens, 5)
			same(t, answer.Usage.InputTokensDetails.CachedTokens, 4)
		})

		t.Run("tools run in parallel, and the model goes on with their results", func(t *testing.T) {
			params := responsesSaying(provider + "/tools")
			params.Tools = []responses.ToolUnionParam{responses.ToolParamOfFunction(weatherTool, weatherSchema, true)}
			answer, err := respond(stream, params)
			succeeds(t, err)
			params.PreviousResponseID = openai.String(answer.ID)
			params.Input = responses.ResponseNewParamsInputUnion{}
			for _, item := range answer.Output {
				if item.Type != "function_call" {
					continue
				}
				call := item.AsFunctionCall()
				same(t, call.Name, weatherTool)
				result := responses.ResponseInputItemParamOfFunctionCallOutput("fine in " + cityOf(t, call.Arguments))
				result.OfFunctionCallOutput.CallID = openai.String(call.CallID)
				params.Input.OfInputItemList = append(params.Input.OfInputItemList, result)
			}
			answer, err = respond(stream, params)
			succeeds(t, err)
			checkToolAnswer(t, answer.OutputText())
		})

		t.Run("images reach the provider", func(t *testing.T) {
			params := responsesSaying(provider + "/mirror")
			params.Input = responses.ResponseNewParamsInputUnion{
				OfInputItemList: responses.ResponseInputParam{responses.ResponseInputItemParamOfMessage(
					responses.ResponseInputMessageContentListParam{
						responses.ResponseInputContentParamOfInputText("What is this?"),
						{OfInputImage: &responses.ResponseInputImageParam{
							Detail: responses.ResponseInputImageDetailAuto, ImageURL: openai.String(pixelURL),
						}},
					},
					responses.EasyInputMessageRoleUser,
				)},
			}
			answer, err := respond(stream, params)
			succeeds(t, err)
			checkShown(t, answer.OutputText(), shownPixel[provider])
		})

		t.Run("an answer has the form of a schema", func(t *testing.T) {
			ask := func(script string) string {
				params := responsesSaying(provider + "/" + script)
				params.Text.Format = responses.ResponseFormatTextConfigParamOfJSONSchema("place", placeSchema)
				answer, err := respond(stream, params)
				succeeds(t, err)
				return answer.OutputText()
			}
			same(t, ask("json"), placeAnswer)
			checkShown(t, ask("mirror"), shownSchema[provider])
		})

		t.Run("a failure is the SDK's own error", func(t *testing.T) {
			for _, refusal := range refusals {
				_, err := respond(stream, responsesSaying(provider+"/"+refusal.script))
				checkOpenAIError(t, err, refusal.status, refusal.message)
			}
		})
	})
}
