<?php

declare(strict_types=1);

use PHPUnit\Framework\TestCase;

/**
 * SLBP_Performance_Optimizer's assets as a PHP programmer uses them.
 */
final class AssetsTest extends TestCase
{
    private string $folder;

    protected function setUp(): void
    {
        $this->folder = sys_get_temp_dir() . '/slbp-assets-' . bin2hex(random_bytes(6));
        foreach (['plugin/admin/css', 'plugin/public/css', 'plugin/js', 'uploads'] as $name) {
            mkdir("$this->folder/$name", 0777, true);
        }
    }

    protected function tearDown(): void
    {
        exec('rm -rf ' . escapeshellarg($this->folder));
    }

    private function optimizer(array $more = []): SLBP_Performance_Optimizer
    {
        return new SLBP_Performance_Optimizer($more + [
            'plugin_path' => "$this->folder/plugin",
            'plugin_url' => 'https://a.test/wp-content/plugins/p',
            'upload_dir' => "$this->folder/uploads",
            'upload_url' => 'https://a.test/wp-content/uploads',
        ]);
    }

    private function write(string $name, string $text): void
    {
        file_put_contents("$this->folder/plugin/$name", $text);
    }

    private function published(string $url): string
    {
        return file_get_contents("$this->folder/uploads/slbp-cache/" . basename($url));
    }

    /** What is logged while `$work` runs. */
    private function logged(callable $work): string
    {
        $log = "$this->folder/log";
        $before = ini_set('error_log', $log);
        $work();
        ini_set('error_log', (string) $before);

        return is_file($log) ? file_get_contents($log) : '';
    }

    public function testTheSpecificationsExampleWorksAsWritten(): void
    {
        $this->write('admin/css/admin-style.css', "/* x */\n.a { color : red; }\n");
        $this->write('public/css/user-dashboard.css', '.b { background: url( ../img/b.png ); }');
        $optimizer = $this->optimizer();
        $optimized_css = $optimizer->optimize_assets('css', array(
            'admin/css/admin-style.css',
            'public/css/user-dashboard.css'
        ));
        $pattern = '~^https://a\.test/wp-content/uploads/slbp-cache/css-[0-9a-f]{32}\.css$~';
        self::assertMatchesRegularExpression($pattern, $optimized_css);
        self::assertSame('.a{color:red}.b{background:url(../../plugins/p/public/img/b.png)}', $this->published($optimized_css));
        self::assertSame($this->published($optimized_css), gzdecode($this->published("$optimized_css.gz")));
        $files = ['admin/css/admin-style.css', 'public/css/user-dashboard.css'];
        self::assertSame($optimized_css, $this->optimizer()->optimize_assets('css', $files));
    }

    public function testScriptsOfABundleAreAloneAndGlobal(): void
    {
        $this->write('js/throws.js', "var before = 1; throw new Error('x');");
        $this->write('js/strict.js', "'use strict'; function strictly() { return this === undefined; }");
        $this->write('js/sloppy.js', 'undeclared = 2; function sloppily() { return this === undefined; }');
        $url = $this->optimizer()->optimize_assets('js', ['js/throws.js', 'js/strict.js', 'js/sloppy.js']);
        $text = $this->published($url);
        self::assertStringContainsString('try{var before=1;throw new Error(', $text);
        self::assertStringContainsString('use strict', $text);
        self::assertStringContainsString('sourceURL=https://a.test/wp-content/plugins/p/js/strict.js', $text);
    }

    public function testAMissingFileIsLoggedAndAnsweredWithFalse(): void
    {
        $this->write('admin/css/a.css', '.a{}');
        $log = $this->logged(function (): void {
            self::assertFalse($this->optimizer()->optimize_assets('css', ['admin/css/a.css', 'admin/css/missing.css']));
            self::assertFalse($this->optimizer()->optimize_assets('css', ['../../etc/passwd']));
            self::assertFalse($this->optimizer()->optimize_assets('css', ["admin/css/\0.css"]));
        });
        self::assertStringContainsString('admin/css/missing.css: it cannot be read', $log);
        self::assertSame(3, substr_count($log, 'assets are not optimized'));
    }

    public function testWhatCannotBeParsedIsReportedOnce(): void
    {
        $this->write('js/bad.js', 'var = ;');
        $this->write('js/good.js', 'f( );');
        $log = $this->logged(function (): void {
            self::assertIsString($this->optimizer()->optimize_assets('js', ['js/bad.js', 'js/good.js']));
            self::assertIsString($this->optimizer()->optimize_assets('js', ['js/bad.js', 'js/good.js']));
        });
        self::assertSame(1, substr_count($log, 'js/bad.js: it cannot be parsed'), $log);
    }

    public function testOneFileForOneIsMadeWhereItHelps(): void
    {
        $this->write('js/a.js', 'f( 1 ); // x');
        $this->write('js/a.min.js', 'f( 1 );');
        self::assertSame('f(1);', $this->published($this->optimizer()->optimize_asset('js', 'js/a.js')));
        $url = 'https://a.test/wp-content/plugins/p/js/a.js?ver=1';
        self::assertSame('f(1);', $this->published($this->optimizer()->optimize_asset('js', $url)));
        self::assertFalse($this->optimizer()->optimize_asset('js', 'js/a.min.js'));
    }

    public function testLocalNamesAreShortenedOnRequest(): void
    {
        $this->write('js/a.js', 'function outer(argument) { return argument + argument; }');
        $url = $this->optimizer(['asset_shorten_names' => '1'])->optimize_asset('js', 'js/a.js');
        self::assertSame('function outer(e){return e+e}', $this->published($url));
    }

    public function testACdnServesWhatWasBundled(): void
    {
        $this->write('admin/css/a.css', '.a { }');
        $optimizer = $this->optimizer(['cdn_url' => 'https://cdn.test']);
        $url = $optimizer->optimize_assets('css', ['admin/css/a.css']);
        self::assertStringStartsWith('https://cdn.test/wp-content/uploads/slbp-cache/css-', $url);
        self::assertSame('<script src="https://cdn.test/x.js"></script>', $optimizer->optimize_html('<script src="/x.js"></script>'));
    }

    /** @dataProvider misuse */
    public function testMisuseThrowsAndSaysWhatWasExpected(array $config, string $type, array $files, string $message): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessageMatches($message);
        (new SLBP_Performance_Optimizer($config))->optimize_assets($type, $files);
    }

    public static function misuse(): array
    {
        $whole = ['upload_dir' => '/tmp', 'upload_url' => 'https://a.test'];

        return [
            'type' => [$whole, 'png', ['a.png'], "/asset_type: expected 'css' or 'js'/"],
            'no files' => [$whole, 'css', [], '/files: expected at least one/'],
            'no folder' => [[], 'css', ['a.css'], '/upload_dir/'],
            'no url' => [['upload_dir' => '/tmp'], 'css', ['a.css'], '/upload_url/'],
            'relative' => [['upload_dir' => 'uploads'], 'css', ['a.css'], '/upload_dir: expected an absolute path/'],
            'misspelt' => [['plugin_pth' => '/tmp'], 'css', ['a.css'], "/did you mean 'plugin_path'/"],
        ];
    }

    public function testSwitchedOffItLeavesAllAsItIs(): void
    {
        $optimizer = $this->optimizer(['asset_optimization' => false]);
        self::assertFalse($optimizer->optimize_assets('css', ['admin/css/a.css']));
        self::assertSame('<img src="a.png">', $optimizer->optimize_html('<img src="a.png">'));
    }

    public function testMediaBelowTheFirstViewportAreLazy(): void
    {
        $image = '<img src="/a.png" width="800" height="600">';
        $page = $this->optimizer()->optimize_html(str_repeat($image, 4));
        self::assertSame(1, substr_count($page, 'loading="lazy"'));
        self::assertSame(1, substr_count($page, 'fetchpriority="high"'));
        self::assertSame(4, substr_count($page, 'decoding="async"'));
        $page = $this->optimizer()->optimize_html(str_repeat($image, 4), ['first_viewport' => 0]);
        self::assertSame(4, substr_count($page, 'loading="lazy"'));
        $nothing = ['lazy' => false, 'decoding' => false, 'fetchpriority' => false];
        self::assertSame($image, $this->optimizer()->optimize_html($image, $nothing));
        $bytes = "<p>\xff\0<script>'<img src=x>'</script>";
        self::assertSame($bytes, $this->optimizer()->optimize_html($bytes));
    }

    public function testAnUnknownOptionNamesTheNearest(): void
    {
        $this->expectException(SLBP_InvalidArgumentException::class);
        $this->expectExceptionMessage("did you mean 'lazy'");
        $this->optimizer()->optimize_html('', ['lasy' => true]);
    }
}
