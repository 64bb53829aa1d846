<?php
// A program that calls WeChat by its own names, with the curl extension.
[, $appid, $secret] = $argv;
const API = 'https://api.weixin.qq.com/cgi-bin';

function call(string $url, ?array $body = null): array
{
    $request = curl_init($url);
    curl_setopt_array($request, [CURLOPT_RETURNTRANSFER => true, CURLOPT_TIMEOUT => 20]);
    if ($body !== null) {
        curl_setopt($request, CURLOPT_POSTFIELDS, json_encode($body));
    }
    $text = curl_exec($request);
    return [$text, curl_getinfo($request, CURLINFO_CONTENT_TYPE), curl_error($request)];
}

function create(string $token): array
{
    [$text, , $error] = call(API . '/qrcode/create?access_token=' . $token, ['expire_seconds' => 1800,
        'action_name' => 'QR_STR_SCENE', 'action_info' => ['scene' => ['scene_str' => 'shop-7']]]);
    return json_decode($text, true) ?? throw new Exception($error);
}

[$text, , $error] = call(API . "/token?grant_type=client_credential&appid=$appid&secret=$secret");
$token = json_decode($text, true)['access_token'] ?? throw new Exception($error . $text);
$ticket = create($token)['ticket'];
[, $type] = call('https://mp.weixin.qq.com/cgi-bin/showqrcode?ticket=' . urlencode($ticket));
[$outside] = call('https://example.com/');
echo json_encode(['ticket' => $ticket, 'type' => $type, 'refused' => create('97_' . str_repeat('x', 133))['errcode'],
    'outside' => $outside === false ? 'refused' : 'reached']);
